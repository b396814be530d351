"""The only place where objects are made and joined; the lifespan opens and closes them."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from decimal import Decimal

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker import __version__
from hero_broker.admin_plane import contract, rest
from hero_broker.admin_plane.methods import Admin
from hero_broker.admin_plane.rpc import Rpc
from hero_broker.core.calls import CallKind
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import NotFound
from hero_broker.data_plane.exchange import Exchange, Limits, Rules
from hero_broker.data_plane.routes import READERS, DataPlane
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.admission import Admission
from hero_broker.edge.client_ip import SourceIp
from hero_broker.edge.requests import Edge
from hero_broker.metering.journal import Journal
from hero_broker.metering.ledger import Ledger
from hero_broker.metering.reports import Reports
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.providers.fake import CHAT_MODEL, EMBEDDING_MODEL
from hero_broker.providers.routing import Route, Routes
from hero_broker.providers.upstream import Provider, Timeouts, open_upstream
from hero_broker.settings import PriceSettings, Settings
from hero_broker.store import request_logs
from hero_broker.store.engine import open_engine

FAKE = "fake"


def routes_of(settings: Settings, fake_url: str | None) -> Routes:
    """Return the models that are served; with `fake_url` those of the fake provider too."""
    providers = {
        provider.name: Provider(provider.name, provider.base_url, provider.api_keys, provider.stream_usage)
        for provider in settings.providers
    }
    routes = []
    if fake_url is not None:
        providers[FAKE] = Provider(FAKE, fake_url, (), stream_usage=True)
        routes = [
            Route(CHAT_MODEL, CallKind.CHAT, providers[FAKE], CHAT_MODEL),
            Route(EMBEDDING_MODEL, CallKind.EMBEDDING, providers[FAKE], EMBEDDING_MODEL),
        ]
    configured = [
        Route(model.name, model.kind, providers[model.provider], model.upstream_model, model.aliases)
        for model in settings.models
    ]
    return Routes([*configured, *routes])


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the prices: the settings' own first, then the fake provider's, then the price list's."""
    founding = _price(
        PriceSettings(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79")), "fake provider"
    )
    prices = {(FAKE, CHAT_MODEL): founding, (FAKE, EMBEDDING_MODEL): founding}
    for model in settings.models:
        if model.price is not None:
            prices[(model.provider, model.upstream_model)] = _price(model.price, "settings")
    return Catalogue(prices)


def build(settings: Settings, *, fake_url: str | None = None, stop_begun: Callable[[], float | None]) -> ASGIApp:
    """Return the broker as an ASGI application. `stop_begun` tells when the shutdown began (monotonic), if it has."""
    clock = SystemClock()
    server, billing = settings.server, settings.billing
    routes = routes_of(settings, fake_url)
    admission = Admission(server.allowed_clients, server.max_calls)
    documented = contract.load_document()
    parts: dict[str, ASGIApp] = {}
    ledgers: list[Ledger] = []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        engine = open_engine(settings.database_url_absolute)
        journal = Journal(
            settings.state_dir / "journal", max_bytes=billing.journal_max_bytes, max_calls=server.max_calls
        )
        limits = Limits(
            server.max_answer_bytes,
            settings.upstream.idle_timeout_s,
            billing.on_disconnect == "drain",
            billing.drain_max_s,
            billing.drain_max_tokens,
            billing.drain_max_calls,
        )
        rules = Rules(
            fsync=billing.durability == "fsync",
            refuse_without_database=billing.on_database_error == "refuse",
            refuse_unpriced=billing.unpriced == "refuse",
        )
        timeouts = Timeouts(
            settings.upstream.connect_timeout_s,
            settings.upstream.first_byte_timeout_s,
            settings.upstream.idle_timeout_s,
            settings.upstream.total_timeout_s,
        )
        try:
            with Ledger.running(journal, lambda rows, prices: request_logs.append(engine, rows, prices)) as ledger:
                ledgers.append(ledger)
                async with open_upstream(timeouts, server.max_calls + billing.drain_max_calls) as upstream:
                    exchange = Exchange(upstream, ledger, catalogue_of(settings).price, clock, limits, rules)
                    parts["calls"] = DataPlane(
                        exchange, routes, admission, clock, server.max_body_bytes, server.body_timeout_s
                    )
                    admin = Admin(
                        reports=Reports(engine, clock), health=lambda: health(ledger), info=info, document=documented
                    )
                    parts["rpc"] = Rpc(admin)
                    rest_of_it.router.routes.extend(rest.routes(admin))
                    yield
                    begun = stop_begun()
                    spent = 0.0 if begun is None else time.monotonic() - begun
                    await exchange.close(server.grace_s - spent)
        finally:
            journal.close()
            engine.dispose()

    def health(ledger: Ledger) -> Mapping[str, object]:
        status = "degraded" if ledger.is_degraded else "ok"
        return {"status": status, "journal_pending": ledger.pending}

    def info() -> Mapping[str, object]:
        return {"name": "hero-broker", "version": __version__, "models": len(routes.all)}

    async def live(_request: object) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: object) -> Response:
        return JSONResponse(dict(health(ledgers[0])))

    async def not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NotFound(f"There is no {scope['path']} here.")

    rest_of_it = Starlette(
        routes=[HttpRoute("/health/live", live), HttpRoute("/health/ready", ready)], lifespan=lifespan
    )
    rest_of_it.router.default = not_found
    rest_of_it.router.redirect_slashes = False

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path in READERS:
                await parts["calls"](scope, receive, send)
                return
            if path == "/rpc":
                await parts["rpc"](scope, receive, send)
                return
        await rest_of_it(scope, receive, send)

    gate = AdminGate(dispatch, settings.admin_tokens)
    source_ip = SourceIp(server.trusted_proxies, server.trust_unix, server.trusted_header)
    return Edge(gate, source_ip)


def _price(settings: PriceSettings, source: str) -> Price:
    return Price(**{field.name: getattr(settings, field.name) for field in fields(settings)}, source=source)
