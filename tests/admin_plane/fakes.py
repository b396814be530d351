"""Ledgers that answer nothing, for tests that care about one question."""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from zoneinfo import ZoneInfo

from hero_broker.core.focus import FocusQuery, FocusReport
from hero_broker.core.inventory import (
    InventoryHealth,
    InventoryModel,
    InventoryPrice,
    InventoryProvider,
    ModelMove,
    ModelPriceChange,
    PriceChanges,
    PriceInForce,
    PriceList,
    PriceRate,
    RateChange,
)
from hero_broker.core.labels import Label, LabelChanges
from hero_broker.core.limits import (
    ExplainedAdmission,
    LimitDecision,
    LimitState,
    OwnLimit,
    PlannedCall,
    Refusal,
    SubjectState,
)
from hero_broker.core.money import NANO
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


class NoReports:
    """Reports that nobody should ask for."""

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        raise AssertionError((since, until, limit, after))

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        raise AssertionError((ip, since, until))

    async def usage(self, question: UsageQuery) -> UsageReport:
        raise AssertionError(question)

    async def rows(self, question: RowsQuery) -> Rows:
        raise AssertionError(question)

    def every_row(self, question: RowsQuery) -> AsyncIterator[Rows]:
        raise AssertionError(question)

    async def focus(self, question: FocusQuery) -> FocusReport:
        raise AssertionError(question)

    async def request(self, request_id: str) -> ExplainedRequest:
        raise AssertionError(request_id)

    async def own_usage(self, ip: str, _zone: ZoneInfo) -> OwnUsage:
        raise AssertionError(ip)

    async def own_request(self, ip: str, request_id: str) -> ExplainedRequest:
        raise AssertionError((ip, request_id))


class NoBooks:
    """Books that nobody should ask for."""

    @property
    def has_one_broker(self) -> bool:
        raise AssertionError

    async def unbilled(self, until: int | None = None) -> tuple[Period, int]:
        raise AssertionError(until)

    async def close_period(
        self, reference: str, until: int, zone: str, *, dry_run: bool = False
    ) -> tuple[ClosedPeriod, int]:
        raise AssertionError((reference, until, zone, dry_run))

    async def periods(self) -> tuple[list[Period], int]:
        raise AssertionError

    async def mark_billed(self, reference: str, to_seq: int) -> tuple[Period, int]:
        raise AssertionError((reference, to_seq))

    async def verify(self, since: int | None, until: int | None) -> Verification:
        raise AssertionError((since, until))

    async def rebuild(self) -> int:
        raise AssertionError


class NoLabels:
    """Labels that nobody should ask for."""

    async def set(self, target: str, label: str) -> tuple[Label, int]:
        raise AssertionError((target, label))

    async def set_many(self, labels_by_target: Mapping[str, str]) -> tuple[LabelChanges, int]:
        raise AssertionError(labels_by_target)

    async def remove(self, target: str) -> tuple[Label, int]:
        raise AssertionError(target)

    async def get(self, target: str) -> tuple[Label, int]:
        raise AssertionError(target)

    async def list(self) -> tuple[list[Label], int]:
        raise AssertionError


def no_calls(_started_before: int) -> int:
    """Count the calls that are not in the ledger yet: there are none."""
    return 0


async def other_prices(content: bytes | None, _dry_run: bool) -> PriceChanges:
    """Put a price list in force that changes one model's price, whatever the list is."""
    version, taken_at = ("0.2.4", None) if content is None else ("of 2023-11-14, SHA-256 0123456789ab", 1_700_000_000)
    lists = (PriceList("genai-prices", version, "2026-11-03", taken_at), PriceList("supplement", None, "2026-11-29"))
    rate = RateChange("input_per_million", "flex", 200_001, None, None, "0.59", "0.6")
    model = ModelPriceChange("llama", "groq", "changed", 0, 0, 1, (rate,))
    return PriceChanges(lists, (model,), (ModelMove("l", "groq", "openai"),), 1, 1_700_000_060)


class LimitsFake:
    """A budget of which one address has spent something."""

    def limits(self) -> list[LimitState]:
        return [self._state("machine-month")]

    async def subjects(
        self, name: str, most: int, values: Mapping[str, str | None]
    ) -> tuple[LimitState, list[SubjectState]]:
        subject = SubjectState(
            {"ip": "10.77.0.5"}, 25_970, 250_000_000, 24_749_974_030, 1793487600, 1796079600, 5 * NANO
        )
        is_asked = values.items() <= {"ip": "10.77.0.5"}.items()
        return self._state(name), [subject][: most if is_asked else 0]

    def of_caller(self, ip: str) -> list[OwnLimit]:
        month = (1793487600, 1796079600)
        amounts = (20_000_000_000, 25_970, 250_000_000, 19_749_974_030)
        shared = OwnLimit("shared", "usd", "month", "Europe/Brussels", {}, None, None, None, None, *month)
        return [OwnLimit("own", "usd", "month", "Europe/Brussels", {"model": "m"}, *amounts, *month), shared]

    def _state(self, name: str) -> LimitState:
        return LimitState(
            name,
            "usd",
            20_000_000_000,
            "month",
            "Europe/Brussels",
            "safe",
            None,
            {"network": "10.77.0.0/24"},
            ("ip",),
            "enforce",
            "file",
            (Decimal("0.8"), Decimal(1)),
            "finish",
            "refuse",
            "refuse",
            "at most 20 USD a month (Europe/Brussels), for each address; it counts calls from 10.77.0.0/24; "
            "it warns when 80 % and 100 % are spent",
            1,
            3,
            0,
            0,
            0,
        )


def explained(call: PlannedCall) -> ExplainedAdmission:
    """Say that a budget refuses calls of one address, and that another limit knows nothing yet."""
    state = SubjectState({"ip": call.ip}, 19_900_000_000, 0, 100_000_000, 1793487600, 1796079600)
    refusal = Refusal(402, "budget_exceeded", f"{call}", 86_400) if call.ip == "10.77.0.5" else None
    budget = LimitDecision("machine-month", "usd", "enforce", refusal, 480_590_000, 20 * NANO, state)
    unknown = LimitDecision("by-label", "usd", "shadow", Refusal(503, "limits_unavailable", "Later.", 5))
    return ExplainedAdmission(
        call.model, "groq", call.kind or "chat", None, (budget, unknown), budget if refusal else None
    )


class ServedFake:
    """A broker with one model, at one provider."""

    def models(self) -> list[InventoryModel]:
        price = InventoryPrice(
            {"input_per_million": "0.59", "output_per_million": "0.79"}, "settings", "settings", False
        )
        return [InventoryModel("llama", ("l",), "chat", "groq", "llama-3.3-70b-versatile", True, price)]

    def prices(self, model: str | None) -> list[PriceInForce] | None:
        if model not in (None, "llama", "l", "groq/llama"):
            return None
        return [
            PriceInForce(
                "llama",
                "groq",
                "llama-3.3-70b-versatile",
                tier,
                (PriceRate("input_per_million", usd, "settings", "settings"),),
                False,
            )
            for tier, usd in ((None, "0.59"), ("flex", "0.3"))
        ]

    def price_lists(self) -> list[PriceList]:
        return [PriceList("genai-prices", "0.2.3", "2026-11-03"), PriceList("supplement", None, "2026-11-29")]

    def providers(self) -> list[InventoryProvider]:
        health = InventoryHealth(answered=3, last_answered_at=1_700_000_000)
        return [InventoryProvider("groq", "https://api.groq.com/openai/v1", 1, ("openai",), True, 1, 0, health)]
