"""What the methods of the admin plane need: ports to the ledger, the labels and the inventory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

from hero_broker.admin_plane.contract import Document
from hero_broker.core.calls import Caller
from hero_broker.core.errors import NotRecorded
from hero_broker.core.focus import FocusQuery, FocusReport
from hero_broker.core.inventory import InventoryModel, InventoryProvider, PriceChanges, PriceInForce, PriceList
from hero_broker.core.labels import Label, LabelChanges
from hero_broker.core.limits import (
    DefinedLimit,
    ExplainedAdmission,
    Grant,
    LimitState,
    OwnLimit,
    PlannedCall,
    SubjectState,
)
from hero_broker.core.queries import RowsQuery, UsageQuery
from hero_broker.core.records import (
    ClosedPeriod,
    ExplainedRequest,
    OwnUsage,
    Period,
    Rows,
    UsageByIp,
    UsageForIp,
    UsageReport,
    Verification,
)


class ReportsInterface(Protocol):
    """What the admin plane needs from the ledger; see `reports.usage`."""

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address."""
        ...

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model."""
        ...

    async def usage(self, query: UsageQuery) -> UsageReport:
        """Return usage by group and bucket."""
        ...

    async def rows(self, query: RowsQuery) -> Rows:
        """Return a page of the ledger."""
        ...

    def every_row(self, query: RowsQuery) -> AsyncIterator[Rows]:
        """Yield the ledger page by page."""
        ...

    async def focus(self, query: FocusQuery) -> FocusReport:
        """Return the FOCUS lines of a billing period or window."""
        ...

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row with how its cost was computed."""
        ...

    async def own_usage(self, ip: str, zone: ZoneInfo, /) -> OwnUsage:
        """Return what a caller used today and this month."""
        ...

    async def own_request(self, ip: str, request_id: str) -> ExplainedRequest:
        """Return one row of a caller with how its cost was computed."""
        ...


class BooksInterface(Protocol):
    """What the admin plane needs from the books; see `reports.billing_periods`."""

    @property
    def has_one_broker(self) -> bool:
        """Whether no other broker can write this ledger."""
        ...

    async def unbilled(self, until: int | None = None) -> tuple[Period, int]:
        """Return what is in no billing period yet, and when that was."""
        ...

    async def periods(self) -> tuple[list[Period], int]:
        """Return all billing periods, and when that was."""
        ...

    async def mark_billed(self, reference: str, to_seq: int) -> tuple[Period, int]:
        """Close a billing period; return it, and when that was."""
        ...

    async def close_period(
        self, reference: str, until: int, zone: str, *, dry_run: bool = False
    ) -> tuple[ClosedPeriod, int]:
        """Close what began before `until` and is in no period yet; return it, and when that was."""
        ...

    async def verify(self, since: int | None, until: int | None) -> Verification:
        """Compare rows, roll-ups and billing periods."""
        ...

    async def rebuild(self) -> int:
        """Start a rebuild of the roll-ups; return its start."""
        ...


class LabelsInterface(Protocol):
    """What the admin plane needs from labels; see `reports.labels`."""

    async def get(self, target: str) -> tuple[Label, int]:
        """Return the label that reports show for a target, and when that was."""
        ...

    async def set(self, target: str, label: str) -> tuple[Label, int]:
        """Name an address or a network; return its label, and when that was."""
        ...

    async def set_many(self, labels_by_target: Mapping[str, str]) -> tuple[LabelChanges, int]:
        """Name many addresses and networks, all or none; return what changed, and when that was."""
        ...

    async def remove(self, target: str) -> tuple[Label, int]:
        """Remove a label; return it, and when that was."""
        ...

    async def list(self) -> tuple[list[Label], int]:
        """Return all labels, and when that was."""
        ...


class InventoryInterface(Protocol):
    """What the admin plane needs from models and providers; see `providers.inventory`."""

    def models(self) -> list[InventoryModel]:
        """Return the models that are served. Takes long if the price list is long: not for the event loop."""
        ...

    def prices(self, model: str | None, /) -> list[PriceInForce] | None:
        """Return the prices of all models, or of one; None if it is not served. Takes as long as `models`."""
        ...

    def price_lists(self) -> list[PriceList]:
        """Return the public price lists. Takes as long as `models`."""
        ...

    def providers(self) -> list[InventoryProvider]:
        """Return the providers that are configured."""
        ...


class LimitsInterface(Protocol):
    """What the admin plane needs from limits; see `limits.states`."""

    def limits(self) -> Sequence[LimitState]:
        """Return the limits in force."""
        ...

    async def subjects(
        self, name: str, most: int, values: Mapping[str, str | None], /
    ) -> tuple[LimitState, Sequence[SubjectState]]:
        """Return a limit, and the subjects with these values that have used most of it."""
        ...

    def of_caller(self, ip: str, /) -> Sequence[OwnLimit]:
        """Return the limits that count calls of an address, with its own numbers."""
        ...


class NoLimits:
    """The limits of a ledger without its broker: none."""

    def limits(self) -> Sequence[LimitState]:
        """Return no limits."""
        return ()

    async def subjects(
        self, _name: str, _most: int, _values: Mapping[str, str | None], /
    ) -> tuple[LimitState, Sequence[SubjectState]]:
        """Return nothing, because no limit has this name."""
        raise NotRecorded("No such limit")

    def of_caller(self, _ip: str, /) -> Sequence[OwnLimit]:
        """Return no limits."""
        return ()


class LimitBookInterface(Protocol):
    """What the admin plane needs from limits that are set while the broker runs; see `reports.limit_book`."""

    async def get(self, name: str, /) -> tuple[DefinedLimit, int]:
        """Return how a limit is defined, and when that was."""
        ...

    async def set(self, name: str, definition: Mapping[str, object], /) -> tuple[DefinedLimit, int]:
        """Set a limit; return it, and when that was."""
        ...

    async def remove(self, name: str, /) -> tuple[DefinedLimit, int]:
        """Remove a limit; return it, and when that was."""
        ...

    async def grant(
        self, name: str, subject: Mapping[str, str | None], amount: Decimal, until: int | None, reason: str, /
    ) -> tuple[Grant, int]:
        """Let a subject of a budget use more; return the grant, and when that was."""
        ...

    async def revoke(self, grant_id: int, /) -> tuple[Grant, int]:
        """End a grant; return it, and when that was."""
        ...


class NoLimitBook:
    """The limits that are set of a ledger without its broker, which nobody asks for."""

    async def get(self, _name: str, /) -> tuple[DefinedLimit, int]:
        """Return nothing, because no limit has this name."""
        raise NotRecorded("No such limit")

    async def set(self, name: str, _definition: Mapping[str, object], /) -> tuple[DefinedLimit, int]:
        """Change nothing."""
        return await self.get(name)

    async def remove(self, name: str, /) -> tuple[DefinedLimit, int]:
        """Change nothing."""
        return await self.get(name)

    async def grant(
        self, _name: str, _subject: Mapping[str, str | None], _amount: Decimal, _until: int | None, _reason: str, /
    ) -> tuple[Grant, int]:
        """Change nothing."""
        raise NotRecorded("No such limit")

    async def revoke(self, _grant_id: int, /) -> tuple[Grant, int]:
        """Change nothing."""
        raise NotRecorded("No such grant in force")


def explain_nothing(_call: PlannedCall, /) -> ExplainedAdmission:
    """Say that a ledger without its broker has no limits."""
    raise NotRecorded("No limits")


@dataclass(frozen=True, slots=True)
class Admin:
    """What the methods need."""

    reports: ReportsInterface
    books: BooksInterface
    labels: LabelsInterface
    served: InventoryInterface
    health: Callable[[], Mapping[str, object]]
    info: Callable[[], Mapping[str, object]]
    # How many of this broker's calls that began before a time (unix seconds) are not in the ledger yet.
    unrecorded: Callable[[int], int]
    document: Document
    # Puts another price list in force: the published one with this content, or, for None, the installed one. The second
    # argument is whether nothing is to be changed.
    refresh_prices: Callable[[bytes | None, bool], Awaitable[PriceChanges]]
    limits: LimitsInterface = field(default_factory=NoLimits)
    # Bounds the requests of callers for their own usage, or raises an error of calls.
    own_requests: Callable[[Caller], AbstractContextManager[object]] = nullcontext
    limit_book: LimitBookInterface = field(default_factory=NoLimitBook)
    has_self_service: bool = True  # callers may ask for their own usage
    # Says what limits would do with a call.
    explain: Callable[[PlannedCall], ExplainedAdmission] = explain_nothing
