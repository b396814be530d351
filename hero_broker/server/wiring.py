"""The only place where the broker's objects are made and joined; they close in reverse order."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp

from hero_broker import __version__
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.admin_plane.registry import METHODS
from hero_broker.core.clock import SystemClock
from hero_broker.core.duties import Duty
from hero_broker.data_plane.call_run import ExchangeLimits
from hero_broker.data_plane.checks import Check, LedgerOpen, price_known
from hero_broker.data_plane.endpoint import DataPlane
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.path_spellings import CALL_SPELLINGS
from hero_broker.data_plane.planned_calls import PlannedCalls
from hero_broker.data_plane.stored_endpoint import StoredResponseEndpoint
from hero_broker.data_plane.stored_responses import StoredResponses
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.errors import ErrorShapes
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins
from hero_broker.edge.short_requests import ShortRequests
from hero_broker.edge.source_ip import SourceIp
from hero_broker.kinds.registry import KIND_BY_PATH, LOOK_UP_KINDS
from hero_broker.ledger.health import LedgerHealth
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission
from hero_broker.limits.limit import server_limits
from hero_broker.limits.own_requests import OwnRequests
from hero_broker.limits.states import LimitStates
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.tokens import TokenCounter
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.kept_list import load_list
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.upstream.client import open_upstream
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.limit_book import LimitBook
from hero_broker.reports.query_pool import close_together
from hero_broker.reports.stored_responses import ResponseLookUp
from hero_broker.reports.usage import Reports
from hero_broker.server.configured_routes import build_priced_routes, build_routes, default_models, timeouts_of
from hero_broker.server.limit_following import LimitFollowing
from hero_broker.server.limits_copy import LimitsCopy
from hero_broker.server.price_refresh import PriceRefresh
from hero_broker.server.router import build_router
from hero_broker.settings import Settings
from hero_broker.settings.limits import read_definition
from hero_broker.store.database import open_database

CALL_KINDS = KIND_BY_PATH | LOOK_UP_KINDS
CALLS = {**CALL_SPELLINGS, **{path: path for path in CALL_KINDS}}  # the canonical paths of all spellings
ERROR_SHAPES = ErrorShapes({spelling: CALL_KINDS[path].wire for spelling, path in CALLS.items()})
# The targets of calls whose body is JSON.
JSON_TARGETS = [spelling.encode() for spelling, path in CALLS.items() if not CALL_KINDS[path].takes_form]


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
            timeouts_of(provider.timeouts) for provider in settings.providers if provider.timeouts is not None
        ]
        max_calls = server.max_calls + billing.drain_max_calls
        timeouts = timeouts_of(settings.upstream)
        async with open_upstream(timeouts, max_calls, own_timeouts, fast=server.fast_path) as upstream:
            listed = load_list(settings.state_dir, billing.price_list, clock.now(), is_start=True)
            catalogue = Catalogue(settings.price_factors, listed)
            for provider in settings.providers:
                catalogue.models(provider.name)  # loads the price list now, not while a call waits
            routes = build_routes(settings, fake_url, catalogue)
            counter = TokenCounter()
            stack.callback(counter.close)
            estimates, provider_health = Estimates(counter), HealthTracker(clock)
            stack.callback(estimates.close)
            own_limits = server_limits(server.max_calls, server.max_calls_per_address)
            limiting = settings.limiting
            admission = Admission(
                [*own_limits, *settings.limits], limiting.headers, budget_status=limiting.budget_status
            )
            exchange = Exchange(
                upstream,
                ledger,
                estimates,
                clock,
                _exchange_limits(settings),
                admission=admission,
                checks=_checks(settings, ledger),
                observers=(provider_health,),
                listed=catalogue.tariff_of_name,
                configured=routes.own_tariff,
                fsync=billing.durability == "fsync",
            )
            directory = ResponseLookUp(database, ledger.responses, clock)
            stored = StoredResponses(directory, routes)
            calls = DataPlane(
                exchange,
                routes,
                admission,
                clock,
                server.max_body_bytes,
                server.max_audio_bytes,
                server.body_timeout_s,
                settings.state_dir / "uploads",
                default_models(settings, routes),
                stored,
            )
            served = Inventory(routes, provider_health, clock, catalogue)
            refresh = PriceRefresh(
                settings.state_dir,
                clock,
                lambda prices: build_priced_routes(settings, fake_url, prices),
                routes,
                exchange,
                served,
                billing.price_list,
            )
            labels = LabelBook(database, clock)
            reports, books = Reports(database, labels, clock), Books(database, clock)
            reading = partial(
                read_definition,
                providers={provider.name for provider in routes.every_provider},
                may_share_ledger=not database.has_one_broker,
            )
            limit_book = LimitBook(database, clock, [*own_limits, *settings.limits], reading)
            stack.callback(close_together, labels.close, reports.close, books.close, directory.close, limit_book.close)
            limits_copy = LimitsCopy(limit_book, settings.state_dir)
            limits = LimitFollowing(
                admission,
                database,
                ledger,
                labels.names,
                limits_copy.current,
                lambda: exchange.use_limits(admission),
                limits_copy.kept,
            )
            limit_book.on_change = limits.use_definitions
            duties = [
                ledger.storing,
                ledger.folding,
                ledger.forgetting,
                database.wal,
                journal.flushing,
                journal.releasing,
                journal.rejected.keeping,
                counter.counting,
                upstream.watching,
                limits.following,
            ]
            admin = Admin(
                reports=reports,
                books=books,
                labels=labels,
                served=served,
                health=LedgerHealth(
                    ledger,
                    journal,
                    settings.state_dir,
                    billing.on_database_error == "refuse",
                    rollups=lambda: database.rollups,
                    duties=duties,
                ).report,
                info=lambda: {"name": "hero-broker", "version": __version__, "models": len(routes.named)},
                unrecorded=ledger.unrecorded_before,
                document=load_document(),
                refresh_prices=refresh.refresh,
                limits=LimitStates(admission),
                own_requests=OwnRequests().request,
                limit_book=limit_book,
                has_self_service=limiting.self_service,
                explain=PlannedCalls(routes, exchange, admission, clock).explain,
            )
            Contract(admin.document).check(METHODS)
            stored_calls = StoredResponseEndpoint(exchange, stored, admission, clock)
            router = build_router(calls, stored_calls, routes, admin, server.body_timeout_s)
            gate = AdminGate(router, settings.admin_tokens)
            source_ip = SourceIp(server.trusted_proxies, server.trust_unix, server.trusted_header)
            allowed, origins = AllowedClients(server.allowed_clients), Origins(server.allowed_origins)
            edge = EdgeMiddleware(gate, source_ip, allowed, origins, ERROR_SHAPES)
            short_requests = ShortRequests(
                JSON_TARGETS, source_ip, allowed, gate, [admission.check], calls.check_json_head
            )
            async with limits.running():
                yield Broker(edge, exchange, duties, short_requests)
                await exchange.close(0)


@dataclass(frozen=True, slots=True)
class Broker:
    """An open broker: the application that uvicorn serves, and the calls in flight."""

    application: ASGIApp
    exchange: Exchange
    duties: list[Duty]  # shown by `system.health`; `server.run` adds its own
    short_requests: ShortRequests  # for connections that await short bodies


def _exchange_limits(settings: Settings) -> ExchangeLimits:
    billing = settings.billing
    return ExchangeLimits(
        max_answer_bytes=settings.server.max_answer_bytes,
        max_long_event_bytes=settings.responses.max_event_bytes,
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
