"""`hero-broker check-config`: prints what a broker with these settings would serve."""

import typer

from hero_broker.cli import config_report
from hero_broker.cli.exit_codes import CANNOT_START
from hero_broker.cli.notices import warn
from hero_broker.cli.printing import say
from hero_broker.cli.settings_options import ConfigOption, FakeOption, read_settings
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import PriceListUnreadable
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.kept_list import load_list
from hero_broker.server.configured_routes import build_routes


def check_config(config: ConfigOption = None, fake: FakeOption = False) -> None:
    """Print what would be served, with prices. Secrets are redacted."""
    settings = read_settings(config, fake=fake)
    try:
        kept = load_list(settings.state_dir, settings.billing.price_list, SystemClock().now())
    except PriceListUnreadable as error:
        warn(str(error))
        raise typer.Exit(CANNOT_START) from error
    catalogue = Catalogue(settings.price_factors, kept)
    routes = build_routes(settings, "" if fake else None, catalogue)
    for line in config_report.report_lines(settings, routes):
        say(line)
    for warning in config_report.warnings(settings, routes, catalogue):
        warn(f"warning: {warning}")
