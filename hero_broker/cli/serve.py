"""`hero-broker serve`: runs a broker, and prints a summary of it at the start."""

import socket
from contextlib import suppress
from typing import Annotated

import typer
from sqlalchemy import make_url

from hero_broker.cli import config_report
from hero_broker.cli.notices import warn
from hero_broker.cli.runner import bound_address, run
from hero_broker.cli.settings_options import ConfigOption, FakeOption, read_settings
from hero_broker.core.clock import SystemClock
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.kept_list import load_list
from hero_broker.server.configured_routes import build_routes
from hero_broker.settings import Settings

EXAMPLES = """Examples:

hero-broker serve --fake

ADMIN_TOKEN=… hero-broker serve --config hero-broker.toml --listen '[::]:33850'"""

ListenOption = Annotated[list[str] | None, typer.Option("--listen", help="HOST:PORT or unix:PATH; repeatable.")]


def serve(
    config: ConfigOption = None,
    listen: ListenOption = None,
    database: Annotated[str | None, typer.Option("--database", help="URL of the ledger.")] = None,
    fake: FakeOption = False,
    insecure_dev: Annotated[
        bool, typer.Option("--insecure-dev", help="Allow an open admin plane beyond loopback.")
    ] = False,
) -> None:
    """Run the broker until Ctrl-C."""
    settings = read_settings(config, listen=listen or (), database=database, fake=fake, insecure_dev=insecure_dev)
    run(settings, lambda sockets: _banner(settings, sockets))


def _banner(settings: Settings, sockets: list[socket.socket]) -> None:
    listed = load_list(settings.state_dir, settings.billing.price_list, SystemClock().now())
    catalogue = Catalogue(settings.price_factors, listed)
    routes = build_routes(settings, "" if settings.fake else None, catalogue)
    lines = [
        f"listening on  {', '.join(bound_address(opened) for opened in sockets)}",
        f"who may call  {', '.join(str(network) for network in settings.server.allowed_clients)}",
        f"providers     {', '.join(provider.name for provider in routes.every_provider) or 'none'}",
        f"models        {config_report.model_lines(routes)}",
        f"ledger        {make_url(settings.database_url_absolute).render_as_string()}",
    ]
    is_closed = bool(settings.admin_tokens)
    lines.append(
        f"admin plane   {'asks for the token' if is_closed else 'OPEN (dev mode): set ADMIN_TOKEN to close it'}"
    )
    if (nothing := config_report.nothing_served(routes)) is not None:
        lines.append(f"warning       {nothing}")
    with suppress(OSError):  # a closed terminal or pipe must not stop the broker
        for line in lines:
            warn(line)
