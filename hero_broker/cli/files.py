"""Writes the files and folders that commands make."""

from pathlib import Path

import typer

from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.notices import warn
from hero_broker.util.whole_files import write_whole


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole, or replace it; end the command with a message if that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        warn(f"{path} cannot be written: {error.strerror}")
        raise typer.Exit(FAILED) from error


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents; end the command with a message if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warn(f"{path} cannot be created: {error.strerror}")
        raise typer.Exit(FAILED) from error
