"""Options that say which settings a command reads."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hero_broker.cli.exit_codes import WRONG_USE
from hero_broker.cli.printing import warn
from hero_broker.settings import Settings, SettingsError, load

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings file.")]
FakeOption = Annotated[bool, typer.Option("--fake", help="Add a provider that answers without key or network.")]


def read_settings(config: Path | None, **flags: Any) -> Settings:
    """Return the settings; end the command with 2 and a list of all faults if they are wrong."""
    try:
        settings = load(config=config, environ=os.environ, **flags)
    except SettingsError as error:
        for fault in error.faults:
            warn(f"{fault.key}: {fault.problem}")
        raise typer.Exit(WRONG_USE) from error
    for warning in settings.warnings:
        warn(f"warning: {warning}")
    return settings
