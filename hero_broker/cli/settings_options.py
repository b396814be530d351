"""The options that say which settings a command reads, and how wrong ones are reported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hero_broker.cli.exit_codes import WRONG_USE
from hero_broker.cli.notices import warn
from hero_broker.settings import Settings, SettingsError, load

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings file.")]
FakeOption = Annotated[bool, typer.Option("--fake", help="Add a provider that answers without key or network.")]


@contextmanager
def reported_faults() -> Iterator[None]:
    """End the command with 2 and a list of all faults if the settings that the block reads are wrong."""
    try:
        yield
    except SettingsError as error:
        for fault in error.faults:
            warn(f"{fault.key}: {fault.problem}")
        raise typer.Exit(WRONG_USE) from error


def read_settings(config: Path | None, **flags: Any) -> Settings:
    """Return the settings, and print their warnings; end the command with 2 if they are wrong."""
    with reported_faults():
        settings = load(config=config, environ=os.environ, **flags)
    for warning in settings.warnings:
        warn(f"warning: {warning}")
    return settings
