"""Starts every call: checks it, and notes it in the journal. `call_run` does the rest, in the call's own task."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from hero_broker.core.clock import Clock
from hero_broker.core.errors import JournalFull, LedgerUnavailable
from hero_broker.data_plane.call_run import CallRun, ExchangeLimits, InFlight, Services
from hero_broker.data_plane.checks import Check
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.growth import rule_of
from hero_broker.data_plane.look_up import EmptyLookUp, answer_empty_look_up, answer_look_up
from hero_broker.data_plane.observers import Observer
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.kind import Kind
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import Used
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.holds import usage_bound
from hero_broker.metering.meter import Meter, OtherTariffs, TariffsByName
from hero_broker.metering.recent_outputs import RecentOutputs
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.client import Upstream

INTERRUPT_TIMEOUT_S = 0.5  # for an interrupted call to be estimated, billed and reported to its client


class Exchange:
    """All calls in flight, each in the task of its request."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        estimates: Estimates,
        clock: Clock,
        limits: ExchangeLimits,
        *,
        admission: Admission | None = None,
        checks: Sequence[Check] = (),
        observers: Sequence[Observer] = (),
        listed: TariffsByName | None = None,
        configured: TariffsByName | None = None,
        fsync: bool = False,
    ) -> None:
        """Join what calls need.

        `checks` decide in their order whether a call may be sent, and then the limits of `admission`; `observers` see
        it when it has its row. `listed` and `configured` have the tariffs of other models than the requested one. With
        `fsync` the tail of a response waits until the row is on the disk.
        """
        self._ledger = ledger
        self._clock = clock
        self._admission: Admission | None = None
        self._outputs: RecentOutputs | None = None
        self._checks = tuple(checks)
        self._others = OtherTariffs(listed, configured)
        self._services = Services(upstream, ledger, estimates, limits, tuple(observers), fsync)
        self._calls = InFlight()
        if admission is not None:
            self.use_limits(admission)

    def start(self, call: ClientCall, route: Route, client: ResponseChannel, slot: Slot) -> Coroutine[None, None, None]:
        """Note in the journal that the call begins, and return its run, to be awaited.

        `slot` is released if the client disconnects before its response has ended; the run may go on.

        Raises:
            BrokerError: a check refuses the call, or it could not be billed; nothing was sent.
        """
        for check in self._checks:
            check(call, route)
        target = route.targets[0]
        meter = Meter(call.attempt(route, target), target.tariff, self._clock, self._others)
        if self._admission is not None:
            _admit(
                self._admission,
                call.context,
                call.kind,
                route.model,
                route.provider,
                client,
                slot,
                _may_use(call, route, self._outputs),
            )
        try:
            self._ledger.begin(meter.call_started())
        except JournalFull as error:
            slot.give_back()
            raise LedgerUnavailable("The ledger has no room for another call; try again later.") from error
        return CallRun(self._services, self._calls, call, route, meter, client, slot).run()

    def use_limits(self, admission: Admission) -> None:
        """Take the limits as they are now, for calls that begin from now on; have those in flight counted by them."""
        self._admission = admission if admission.is_asked_late else None
        if admission.holds_mean and self._outputs is None:
            self._outputs = RecentOutputs()
            observers = (*self._services.observers, self._outputs)
            self._services = replace(self._services, observers=observers, outputs=self._outputs)
        for run in self._calls.tasks.values():
            run.slot.expect_row()

    def may_use(self, call: ClientCall, route: Route) -> Callable[[str], Used]:
        """Return what tells how much a call may use, for one of `limit.HOLDS`."""
        return _may_use(call, route, self._outputs)

    def use_list(self, listed: TariffsByName) -> None:
        """Take the tariffs of another price list, for calls that begin from now on."""
        self._others = OtherTariffs(listed, self._others.configured)

    async def look_up(self, call: ClientCall, route: Route, client: ResponseChannel, slot: Slot) -> None:
        """Send a request that costs nothing to the first target of a route, and respond; it has no row.

        Raises:
            RateLimitExceeded, TooManyCalls: a limit has no room; nothing was sent.
            ProviderError: the provider could not be reached or did not answer.
        """
        if self._admission is not None:
            _admit(self._admission, call.context, call.kind, route.model, route.provider, client, slot)
        await answer_look_up(self._services, call, route, client)

    async def empty_look_up(
        self, look_up: EmptyLookUp, provider: Provider, model: str, client: ResponseChannel, slot: Slot
    ) -> bool:
        """Send a look-up without a body to a provider, and respond; return whether the provider did it.

        `model` is that of the response which it is about.

        Raises:
            RateLimitExceeded, TooManyCalls: a limit has no room; nothing was sent.
            ProviderError: the provider could not be reached or did not answer.
        """
        if self._admission is not None:
            _admit(self._admission, look_up.context, look_up.kind, model, provider, client, slot)
        return await answer_empty_look_up(self._services, look_up, provider, client)

    @property
    def in_flight(self) -> int:
        """Calls that have no row yet."""
        return len(self._calls.tasks)

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for the calls in flight; interrupt and bill the rest."""
        tasks = self._calls.tasks
        if tasks:
            await asyncio.wait(tasks, timeout=max(grace_s, 0.0))
        for _ in range(2):  # the second cancel ends an estimate, or the wait for a client that reads nothing
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=INTERRUPT_TIMEOUT_S)
        await asyncio.gather(*tasks, return_exceptions=True)


def _admit(
    admission: Admission,
    context: RequestContext,
    kind: Kind,
    model: str,
    provider: Provider,
    client: ResponseChannel,
    slot: Slot,
    may_use: Callable[[str], Used] | None = None,
) -> None:
    """Let all limits count a call, and add what is left of them to the response."""
    caller = context.caller
    headers = admission.admit(
        slot, caller.ip, caller.context, model, provider.name, kind.name, context.started_at, may_use
    )
    if headers:
        client.headers = (*client.headers, *headers)


def _may_use(call: ClientCall, route: Route, outputs: RecentOutputs | None) -> Callable[[str], Used]:
    """Return what tells how much a call may use, for one of `limit.HOLDS`."""

    def may_use(hold: str) -> Used:
        tariffs = [target.tariff for target in route.targets]
        rule, most = rule_of(hold, route, outputs)
        bound = usage_bound(call.kind, call.request, tariffs, call.context.started_at, rule, most)
        return Used(*bound)

    return may_use
