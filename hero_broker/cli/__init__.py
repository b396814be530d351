"""The command line: `hero-broker`."""

from hero_broker.cli.main import cli, main

__all__ = ["cli", "main"]
