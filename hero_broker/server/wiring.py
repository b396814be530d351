"""The only place where the broker's objects are made and joined; they close in reverse order."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, fields

from starlette.types import ASGIApp

from hero_broker import __version__
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.admin_plane.registry import METHODS
from hero_broker.core.clock import SystemClock
from hero_broker.core.duties import Duty
from hero_broker.data_plane.call_run import ExchangeLimits
from hero_broker.data_plane.call_slots import CallSlots
from hero_broker.data_plane.checks import Check, LedgerOpen, price_known
from hero_broker.data_plane.endpoint import DataPlane
from hero_broker.data_plane.exchange import Exchange
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins
from hero_broker.edge.source_ip import SourceIp
from hero_broker.kinds.dialect import dialect_of
from hero_broker.ledger.health import LedgerHealth
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.tokens import TokenCounter
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.fake.app import FAKES
from hero_broker.providers.fake.fake_kind import FakeKind
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.routes import Route, Routes
from hero_broker.providers.upstream.client import open_upstream
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.server.router import build_router
from hero_broker.settings import ModelSettings, PriceSettings, Settings, UpstreamSettings
from hero_broker.store.database import open_database

FAKE = "fake"
FAKE_MODELS: Mapping[str, FakeKind] = {fake.kind: fake for fake in FAKES}


def build_routes(settings: Settings, fake_url: str | None, catalogue: Catalogue) -> Routes:
    """Return the routes of the configured models; with `fake_url`, those of the fake provider too."""
    providers = {
        provider.name: Provider(
            provider.name,
            provider.base_url,
            provider.api_keys,
            provider.stream_usage,
            None if provider.timeouts is None else _timeouts(provider.timeouts),
            dialect_of(provider.base_url),
        )
        for provider in settings.providers
    }
    listed = list(providers.values())
    fake_routes = []
    if fake_url is not None:
        providers[FAKE] = Provider(FAKE, fake_url, (), stream_usage=True)
        fake_routes = [
            Route.to(each.model, each.kind, providers[FAKE], each.model, (), Tariff.fixed(each.price, is_override=True))
            for each in FAKES
        ]
    configured = [
        Route.to(
            model.name,
            model.kind,
            providers[model.provider],
            model.upstream_model,
            model.aliases,
            model_tariff(model, catalogue, fake=fake_url is not None),
        )
        for model in settings.models
    ]
    return Routes([*configured, *fake_routes], listed, catalogue)


def default_models(settings: Settings, routes: Routes) -> Mapping[str, str]:
    """Return the model of requests that name none, by kind.

    If no provider serves the model of the settings, it is the first configured one of the kind.
    """
    models = {}
    for kind, model in settings.default_models.items():
        others = [route.model for route in routes.named if route.kind == kind]
        models[kind] = others[0] if others and routes.get(model) is None else model
    return models


def model_tariff(model: ModelSettings, catalogue: Catalogue, *, fake: bool) -> Tariff | None:
    """Return the tariff of a configured model: its own price, else the fake provider's, else the price list's.

    None if no price is known. Without `fake`, a provider named "fake" is an ordinary provider.
    """
    if model.price is not None:
        return Tariff.fixed(build_price(model.price), is_override=True)
    if fake and model.provider == FAKE:
        fake_kind = FAKE_MODELS.get(model.kind)
        if fake_kind is None or fake_kind.model != model.upstream_model:
            return None
        return Tariff.fixed(fake_kind.price, is_override=True)
    return catalogue.tariff(model.provider, model.upstream_model)


def build_price(settings: PriceSettings) -> Price:
    """Return the price that the operator configured."""
    rates = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return Price(**rates, source="settings", version="settings")


@asynccontextmanager
async def running(settings: Settings, *, fake_url: str | None = None) -> AsyncIterator["Broker"]:
    """Open the ledger and the HTTP client for providers, and yield the broker; close them in reverse.

    The caller must hold the state directory (`ledger.state_dir`). After the block no call is in flight, and every row
    is in the store or in the journal.

    Raises:
        DatabaseUnusable, JournalUnreadable, JournalUnusable: the ledger cannot be opened; it is unchanged.
    """
    clock = SystemClock()
    server, billing = settings.server, settings.billing
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings.database_url_absolute))
        journal_dir = settings.state_dir / "journal"
        journal = Journal(journal_dir, interrupted_row, max_bytes=billing.journal_max_bytes, max_calls=server.max_calls)
        stack.callback(journal.close)
        ledger = stack.enter_context(Ledger.running(journal, database))
        own_timeouts = [
            _timeouts(provider.timeouts) for provider in settings.providers if provider.timeouts is not None
        ]
        max_calls = server.max_calls + billing.drain_max_calls
        async with open_upstream(_timeouts(settings.upstream), max_calls, own_timeouts) as upstream:
            catalogue = Catalogue()
            counter = TokenCounter()
            stack.callback(counter.close)
            estimates, provider_health = Estimates(counter), HealthTracker(clock)
            stack.callback(estimates.close)
            exchange = Exchange(
                upstream,
                ledger,
                estimates,
                clock,
                _exchange_limits(settings),
                checks=_checks(settings, ledger),
                observers=(provider_health,),
                fsync=billing.durability == "fsync",
            )
            for provider in settings.providers:
                catalogue.models(provider.name)  # loads the price list now, not while a call waits
            routes = build_routes(settings, fake_url, catalogue)
            calls = DataPlane(
                exchange,
                routes,
                CallSlots(server.max_calls, server.max_calls_per_address),
                clock,
                server.max_body_bytes,
                server.max_audio_bytes,
                server.body_timeout_s,
                settings.state_dir / "uploads",
                default_models(settings, routes),
            )
            labels = LabelBook(database, clock)
            reports, books = Reports(database, labels, clock), Books(database, clock)
            for reader in (labels, reports, books):
                stack.callback(reader.close)
            duties = [
                ledger.storing,
                ledger.folding,
                database.wal,
                journal.flushing,
                journal.releasing,
                journal.rejected.keeping,
                counter.counting,
                upstream.watching,
            ]
            admin = Admin(
                reports=reports,
                books=books,
                labels=labels,
                served=Inventory(routes, provider_health, clock),
                health=LedgerHealth(
                    ledger,
                    journal,
                    settings.state_dir,
                    billing.on_database_error == "refuse",
                    rollups=lambda: database.rollups,
                    duties=duties,
                ).report,
                info=lambda: {"name": "hero-broker", "version": __version__, "models": len(routes.named)},
                document=load_document(),
            )
            Contract(admin.document).check(METHODS)
            gate = AdminGate(build_router(calls, routes, admin, server.body_timeout_s), settings.admin_tokens)
            source_ip = SourceIp(server.trusted_proxies, server.trust_unix, server.trusted_header)
            allowed, origins = AllowedClients(server.allowed_clients), Origins(server.allowed_origins)
            edge = EdgeMiddleware(gate, source_ip, allowed, origins)
            yield Broker(edge, exchange, duties)
            await exchange.close(0)


@dataclass(frozen=True, slots=True)
class Broker:
    """An open broker: the application that uvicorn serves, and the calls in flight."""

    application: ASGIApp
    exchange: Exchange
    duties: list[Duty]  # shown by `system.health`; `server.run` adds its own


def _exchange_limits(settings: Settings) -> ExchangeLimits:
    billing = settings.billing
    return ExchangeLimits(
        max_answer_bytes=settings.server.max_answer_bytes,
        idle_s=settings.upstream.idle_timeout_s,
        drain=billing.on_disconnect == "drain",
        drain_max_s=billing.drain_max_s,
        drain_max_tokens=billing.drain_max_tokens,
        drain_max_calls=billing.drain_max_calls,
    )


def _checks(settings: Settings, ledger: Ledger) -> list[Check]:
    """Return what must hold before a call is sent, in the order in which it is checked."""
    checks: list[Check] = []
    if settings.billing.unpriced == "refuse":
        checks.append(price_known)
    if settings.billing.on_database_error == "refuse":
        checks.append(LedgerOpen(ledger))
    return checks


def _timeouts(upstream: UpstreamSettings) -> Timeouts:
    return Timeouts(
        connect_s=upstream.connect_timeout_s,
        first_byte_s=upstream.first_byte_timeout_s,
        idle_s=upstream.idle_timeout_s,
        total_s=upstream.total_timeout_s,
        whole_s=upstream.whole_answer_timeout_s,
    )
