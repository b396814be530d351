"""`hero-broker providers`: prints the state of each provider of a running broker."""

from typing import Annotated

import typer

from hero_broker.cli.backend import TokenOption, UrlOption, open_backend
from hero_broker.cli.printing import say, table
from hero_broker.cli.times import parse_zone
from hero_broker.client import methods, models
from hero_broker.core.local_time import format_time

EXAMPLES = """Examples:

hero-broker providers

hero-broker providers --tz Europe/Berlin"""

COLUMNS = (
    ("provider", False),
    ("status", False),
    ("last error", False),
    ("at", False),
    ("rejected keys", False),
    ("base URL", False),
    ("keys", True),
    ("models", True),
    ("answered", True),
    ("failed", True),
)
USAGE_FAULTS = ("usage faults", True)  # a column if there are any


def providers(
    tz: Annotated[str, typer.Option(help="Time zone of the times.")] = "UTC",
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print the providers, how they have answered since the broker started, and why the last call failed.

    Keys are named by their number in `api_keys`, and never shown.
    """
    zone = parse_zone(tz)
    with open_backend(url, token) as backend:
        found = backend.call(methods.list_providers()).data
    if not found:
        say("No provider is configured.")
        return
    rows = []
    for provider in found:
        health = provider.health
        at = "" if health.last_failed_at is None else format_time(health.last_failed_at, zone)
        rows.append(
            [
                provider.provider,
                health.status,
                health.last_error_code or "",
                at,
                _keys(health),
                provider.base_url,
                str(provider.api_keys),
                str(provider.models + provider.listed_models),
                str(health.answered),
                str(health.failed),
            ]
        )
    columns = [*COLUMNS]
    if any(provider.health.usage_faults for provider in found):
        columns.append(USAGE_FAULTS)
        for row, provider in zip(rows, found, strict=True):
            row.append(str(provider.health.usage_faults or 0))
    table(columns, rows)


def _keys(health: models.ProviderHealth) -> str:
    """Return the rejected keys, such as `1 (provider_401), 3 (provider_403)`."""
    return ", ".join(f"{key.number or 'none'} ({key.error_code})" for key in health.rejected_keys or ())
