"""`hero-broker check-config`: what would be served, before it is."""

from hero_broker import app as wiring
from hero_broker import preview
from hero_broker.cli.printing import say, warn
from hero_broker.cli.serving import ConfigOption, FakeOption, read_settings
from hero_broker.pricing.catalogue import Catalogue


def check_config(config: ConfigOption = None, fake: FakeOption = False) -> None:
    """Print what would be served, with prices. Secrets are not shown."""
    settings = read_settings(config, fake=fake)
    catalogue = Catalogue()
    served = wiring.routes_of(settings, "" if fake else None, catalogue)
    for line in preview.lines(settings, served):
        say(line)
    for warning in preview.warnings(settings, served, catalogue):
        warn(f"warning: {warning}")
