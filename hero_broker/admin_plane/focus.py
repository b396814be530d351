"""Exports calls as FOCUS, the FinOps Open Cost and Usage Specification: one CSV line a day, address, model and unit.

Source: https://focus.finops.org/focus-specification/v1-2/; docs/reference/focus.md says what each column has.
"""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction

from hero_broker.admin_plane import params
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.errors import InvalidParams, TooWide
from hero_broker.core.focus import CALLS, FocusLine, FocusQuery, FocusReport
from hero_broker.core.money import NANO, exact_text
from hero_broker.util.spreadsheets import cell

VERSION = "1.2"
MAX_LINES = 100_000  # in one JSON result; CSV that is streamed has no bound
LINES_PER_PIECE = 2_000
MINUTE_PLACES = 12  # a number of minutes may be no decimal; all other quantities are exact
LATEST = 253_402_300_799  # the last second that has a date

# The units whose names are not the last word of what was counted: what is counted, and by which units it is priced.
_NOUNS: Mapping[str, tuple[str, str]] = {
    "audio_ms": ("Seconds", "Minutes"),
    "duration_ms": ("Seconds", "Seconds"),
    "gpu_ms": ("GPU Seconds", "GPU Seconds"),
    "search_units": ("Searches", "Searches"),
    "request": ("Requests", "Requests"),
    CALLS: ("Requests", "USD"),
}
_METERS = {
    "audio_ms": "Audio",
    "cache_write_1h_tokens": "Cache Write 1h Tokens",
    "duration_ms": "Duration",
    "gpu_ms": "GPU Time",
}
_TIMES = ("audio_ms", "duration_ms", "gpu_ms")
_OWN_UNIT = (*_TIMES, CALLS)  # what `per` is in: a minute has 60,000 ms, a USD has 10^9 nano-USD


# In the order of the file. The specification puts columns of one's own last, with the prefix "x_".
COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Address",
    "x_BillingPeriod",
    "x_EstimatedRequests",
    "x_FailedRequests",
    "x_Label",
    "x_Model",
    "x_PriceId",
    "x_Requests",
    "x_UnpricedRequests",
)
_CONSTANTS = {
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeFrequency": "Usage-Based",
    "PricingCategory": "Standard",
    "ResourceType": "IP Address",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
}
# Null in every line. FOCUS 1.2 wants some only of those who have such things; FOCUS 1.0 wants all of them.
ALWAYS_NULL = (
    "BillingAccountName",
    "ChargeClass",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "RegionId",
    "RegionName",
    "SkuPriceDetails",
    "SubAccountId",
    "SubAccountName",
)
HEAD = ",".join(COLUMNS).encode() + b"\r\n"


@method("billing.focus", rest="GET /billing/focus", scope="billing:read", offline=True)
async def focus(
    admin: Admin,
    period: str | None = None,
    since: int | None = None,
    until: int | None = None,
    version: str | None = None,
) -> dict[str, object]:
    """Return a billing period or a window as the CSV of FOCUS."""
    report = await admin.reports.focus(focus_query(period, since, until))
    count = 0
    pieces = [HEAD]
    async for lines, piece in _pieces(report):
        count += lines
        if count > MAX_LINES:
            raise TooWide(
                f"The export has more than {MAX_LINES:,} lines: set a narrower window with since and until, "
                "or stream it from GET /billing/focus with Accept: text/csv"
            )
        pieces.append(piece)
    data = {"version": version or VERSION, "rows": count, "csv": b"".join(pieces).decode()}
    return {"data": data, "as_of": report.as_of}


def focus_query(period: str | None = None, since: int | None = None, until: int | None = None) -> FocusQuery:
    """Return the query for a billing period or a window.

    Raises:
        InvalidParams: the window ends before it begins, or there is a period, too.
    """
    params.check_window(since, until)
    if period is not None and (since is not None or until is not None):
        raise InvalidParams("period", "must not be given together with since or until")
    return FocusQuery(period=period, since=since, until=until)


async def build_focus_export(admin: Admin, query: FocusQuery) -> AsyncIterator[bytes]:
    """Yield the whole CSV file in pieces."""
    report = await admin.reports.focus(query)
    head = HEAD
    async for _, piece in _pieces(report):
        yield head + piece
        head = b""
    if head:
        yield head


async def _pieces(report: FocusReport) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the CSV lines of all days, and how many each piece has."""
    period = {
        "BillingPeriodStart": _time(report.start),
        "BillingPeriodEnd": _time(report.end),
        "x_BillingPeriod": report.period,
    }
    async for day in report.days:
        common = {**period, "ChargePeriodStart": _time(day.start), "ChargePeriodEnd": _time(day.end)}
        for at in range(0, len(day.lines), LINES_PER_PIECE):
            lines = day.lines[at : at + LINES_PER_PIECE]
            # In a thread: thousands of lines take as long as many calls.
            yield len(lines), await asyncio.to_thread(_csv, common, lines)


def _csv(common: Mapping[str, str | None], lines: Sequence[FocusLine]) -> bytes:
    """Return lines of CSV, safe for spreadsheets: a caller can choose the end of a model's name, or its beginning."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    for line in lines:
        # Amounts are never negative, so that no number is taken for a formula.
        record = {**_CONSTANTS, **common, **_names(line), **_amounts(line)}
        writer.writerow({name: cell(value) for name, value in record.items()})
    return text.getvalue().encode()


def _names(line: FocusLine) -> dict[str, object]:
    sku, meter = f"{line.provider}/{line.model}/{line.unit}", _meter(line.unit)
    return {
        "BillingAccountId": line.provider,  # the operator's account there, of which the ledger knows no other name
        "ChargeDescription": f"{meter} of {line.model} at {line.provider}",
        "InvoiceIssuerName": line.provider,
        "ProviderName": line.provider,
        "PublisherName": line.provider,
        "ResourceId": line.ip,
        "ResourceName": line.label,
        "ServiceName": line.model,
        "SkuId": sku,
        "SkuMeter": meter,
        "SkuPriceId": sku,  # not `price_id`, which changes with the rates
        "Tags": None if line.label is None else json.dumps({"label": line.label}, ensure_ascii=False),
        "x_Address": line.ip,
        "x_EstimatedRequests": line.estimated_requests,
        "x_FailedRequests": line.failed_requests,
        "x_Label": line.label,
        "x_Model": line.model,
        "x_PriceId": line.price_id,
        "x_Requests": line.requests,
        "x_UnpricedRequests": line.unpriced_requests,
    }


def _amounts(line: FocusLine) -> dict[str, object]:
    noun = line.unit.rpartition("_")[2].capitalize()
    consumed_unit, pricing_unit = _NOUNS.get(line.unit, (noun, noun))
    has_own_unit = line.per == 1 or line.unit in _OWN_UNIT
    quantity = round(Fraction(line.billed) / line.per, MINUTE_PLACES)
    unit_price, list_cost = _decimal(Fraction(line.rate_usd)), _decimal(quantity * line.rate_usd)
    cost = _decimal(Fraction(line.cost_nano_usd, NANO))
    return {
        "BilledCost": cost,
        "ConsumedQuantity": _decimal(Fraction(line.consumed, 1000 if line.unit in _TIMES else 1)),
        "ConsumedUnit": consumed_unit,
        "ContractedCost": list_cost,
        "ContractedUnitPrice": unit_price,
        "EffectiveCost": cost,
        "ListCost": list_cost,
        "ListUnitPrice": unit_price,
        "PricingQuantity": _decimal(quantity),
        "PricingUnit": pricing_unit if has_own_unit else f"{line.per} {pricing_unit}",
    }


def _decimal(amount: Fraction) -> str:
    """Return an amount with a point, so that programs that guess a column's type take integers for decimals, too."""
    text = exact_text(amount)
    return text if "." in text else f"{text}.0"


def _meter(unit: str) -> str:
    return _METERS.get(unit) or unit.replace("_", " ").title()


def _time(at: int) -> str:
    return datetime.fromtimestamp(min(at, LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
