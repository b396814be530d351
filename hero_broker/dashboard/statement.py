"""Makes statements: what one recipient's calls of a billing period cost, as an HTML file that prints well.

The same data give the same bytes: a statement has no time but those of the ledger. The file loads nothing and has no
script; its style sheet is inside, because the file is sent by mail.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import htpy as h
from htpy import Element, Node
from markupsafe import Markup

from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.money import usd_cents, usd_column
from hero_broker.core.records import UsageTotals
from hero_broker.dashboard.charts import ChartSeries, draw_stacks, printable
from hero_broker.reports.totals import sum_totals

_MONTH = re.compile("([0-9]{4})-(0[1-9]|1[0-2])")
MAX_CHART_DAYS = 400  # if a late call began long before, there would be no room for so many bars
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# The units besides tokens, which have a column if a call has them: field of UsageTotals, and head of the column.
OTHER_UNITS = (
    ("characters", "Characters"),
    ("audio_ms", "Audio (min:s)"),
    ("search_units", "Searches"),
    ("images", "Images"),
    ("web_searches", "Web searches"),
)
MANY_UNITS = 3  # besides tokens; a table with so many columns is set smaller
# Nothing may be loaded or run, whatever a mail program makes of the file.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 52rem; padding: 0 1rem; background: #fff; color: #1c1c1c;
  font: 0.9375rem/1.45 Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
header { display: flex; justify-content: space-between; gap: 2rem; }
h1 { margin: 0; font-size: 1.75rem; }
h1 + p { margin: 0.25rem 0 0; }
.issuer { text-align: right; overflow-wrap: anywhere; }
.lines { margin: 0.25rem 0 0; white-space: pre-line; }
.draft { margin: 1.5rem 0 0; padding: 0.5rem 0.75rem; border: 2px solid #9c3d00; color: #9c3d00; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.5rem; margin: 1.5rem 0; }
dt { color: #595959; }
dd { margin: 0; overflow-wrap: anywhere; }
dd.sum { font-size: 1.25rem; font-weight: bold; }
table { width: 100%; margin: 2rem 0; border-collapse: collapse; font-size: 0.875rem; }
caption { padding-bottom: 0.5rem; text-align: left; font-size: 1.125rem; font-weight: bold; }
th, td { padding: 0.25rem 0 0.25rem 1rem; text-align: right; vertical-align: top; font-weight: normal;
  font-variant-numeric: tabular-nums; white-space: nowrap; border-bottom: 1px solid #d9d9d9; }
thead th { vertical-align: bottom; color: #595959; white-space: normal; border-bottom-color: #1c1c1c; }
th.name, td.name { min-width: 7rem; padding-left: 0; text-align: left; white-space: normal; overflow-wrap: anywhere; }
.name + .name { padding-left: 1rem; }
table.wide { font-size: 0.8125rem; }
.wide th, .wide td { padding-left: 0.625rem; }
.wide .name { min-width: 6rem; }
.wide .name:first-child { padding-left: 0; }
tfoot th, tfoot td { font-weight: bold; border-top: 1px solid #1c1c1c; border-bottom: 0; }
figure { margin: 2rem -0.5rem; }
svg { display: block; width: 100%; height: auto; }
ul { padding-left: 1.25rem; overflow-wrap: anywhere; }
.note { margin-top: 1rem; overflow-wrap: anywhere; }
@media print {
  @page { size: A4; margin: 16mm 16mm 18mm; @bottom-right { content: counter(page) " / " counter(pages);
    font: 8pt Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; color: #595959; } }
  body { margin: 0; max-width: none; padding: 0; font-size: 9.5pt; }
  h1 { font-size: 20pt; }
  table { font-size: 8.5pt; }
  table.wide { font-size: 7.5pt; }
  th, td { padding-top: 0.7mm; padding-bottom: 0.7mm; }
  dl, table, figure { margin-top: 6mm; margin-bottom: 6mm; }
  caption { font-size: 11pt; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }
  tr, figure, header, dl, li, .draft, .note { break-inside: avoid; }
  caption, thead { break-after: avoid; }
  tfoot { break-before: avoid; }
}
"""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What the calls of one address to one model used."""

    ip: str  # canonical text, or "unknown"
    label: str | None
    model: str
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class StatementDay:
    """What all calls of the recipient to one model used on one day."""

    day: date  # in the zone of the statement
    model: str
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """The calls that a statement is about: a billing period, or a month that is not closed."""

    reference: str  # of the billing period, or the month as 2026-11
    zone: ZoneInfo
    closed_at: int | None = None  # unix seconds, UTC; None for a draft
    since: int | None = None  # calls that began at or after it; None for a billing period
    until: int | None = None  # calls that began before it; None for a billing period that ends at a position
    late_requests: int = 0  # that began before the end of an earlier period, and were recorded after its close
    has_labels_of_close: bool = False
    is_rest: bool = False  # a draft without the calls that are in a billing period already


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whose calls a statement is about: all, those of a label, or those of an address."""

    label: str | None = None  # an empty text: addresses without one
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """What a statement says of its issuer; empty texts are left out."""

    name: str = ""
    contact: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """All that stands in a statement. Its lines and its days have the same sum."""

    issuer: Issuer
    recipient: Recipient
    period: StatementPeriod
    lines: tuple[StatementLine, ...]
    days: tuple[StatementDay, ...] | None  # None if the calls are too many to add up by day


def statement_file(statement: Statement) -> bytes:
    """Return the content of a statement's HTML file."""
    return f"{_page(statement)}\n".encode()


def _page(statement: Statement) -> Element:
    period, issuer, recipient = statement.period, statement.issuer, statement.recipient
    total = sum_totals([line.totals for line in statement.lines])
    kind = "Draft statement" if period.closed_at is None else "Statement"
    return h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta({"http-equiv": "Content-Security-Policy"}, content=POLICY),
            h.meta(name="viewport", content="width=device-width"),
            h.title[f"{kind} {printable(period.reference)}, {_recipient_text(recipient)}"],
            h.style[Markup(STYLE)],  # noqa: S704  # a constant
        ],
        h.body[
            h.header[
                h.div[h.h1[kind], h.p[_period_title(period)]],
                _issuer(issuer),
            ],
            period.closed_at is None
            and h.p(".draft")[
                h.strong["Draft: this month is not closed."],
                " The amounts may change.",
                period.is_rest and " Calls that are in a billing period already are left out.",
            ],
            h.main[
                h.dl[
                    h.dt["For"],
                    h.dd[_recipient_node(recipient)],
                    h.dt["Calls"],
                    h.dd[_window_sentence(period)],
                    list(_seen(total, period.zone)),
                    h.dt["Time zone"],
                    h.dd[period.zone.key],
                    h.dt["Total"],
                    h.dd(".sum")[f"{usd_column([total.cost_nano_usd])[0]} USD"],
                    h.dt["Rounded"],
                    h.dd[f"{usd_cents(total.cost_nano_usd)} USD"],
                ],
                h.ul[(h.li[sentence] for sentence in _sentences(statement, total))],
                issuer.note and h.p(".note.lines")[issuer.note],
                _chart(statement.days or ()),
                _table("Models", ["Model"], _rows(((line.model,), line.totals) for line in statement.lines), total),
                recipient.ip is None and _addresses(statement, total),
                statement.days is not None and _days(statement.days, total),
            ],
        ],
    ]


def _issuer(issuer: Issuer) -> Node:
    if not issuer.name and not issuer.contact:
        return None
    return h.div(".issuer")[
        issuer.name and h.strong[issuer.name],
        issuer.contact and h.p(".lines")[issuer.contact],
    ]


def _name(text: str) -> Element:
    """Return a name from outside, isolated from the direction of the text around it."""
    return h.bdi[printable(text)]


def _recipient_text(recipient: Recipient) -> str:
    if recipient.ip is not None:
        return printable(recipient.ip)
    if recipient.label is None:
        return "all addresses"
    return printable(recipient.label) or "addresses without a label"


def _recipient_node(recipient: Recipient) -> Node:
    if recipient.ip is None:
        return _name(recipient.label) if recipient.label else _recipient_text(recipient).capitalize()
    address = "callers on a Unix socket" if recipient.ip == UNKNOWN else f"Address {recipient.ip}"
    return [address, [" (", _name(recipient.label), ")"] if recipient.label else None]


def _period_title(period: StatementPeriod) -> Node:
    month = _MONTH.fullmatch(period.reference)
    name = f"{MONTHS[int(month[2]) - 1]} {month[1]}" if month else period.reference
    if period.closed_at is None:
        return ["Month ", _name(name)]
    return ["Period ", _name(name), f", closed on {_moment(period.closed_at, period.zone)}"]


def _window_sentence(period: StatementPeriod) -> str:
    if period.until is None:
        return "Calls that were recorded before the close and were in no earlier statement"
    until = _bound(period.until, period.zone)
    if period.since is None:
        return f"Calls that began before {until} and were in no earlier statement"
    return f"Calls that began at or after {_bound(period.since, period.zone)}, and before {until}"


def _bound(at: int, zone: ZoneInfo) -> str:
    """Return a time to the second, such as `1 December 2026 00:00`: a full minute has no seconds."""
    return _moment(at, zone) + (f":{at % 60:02}" if at % 60 else "")


def _seen(total: UsageTotals, zone: ZoneInfo) -> Iterator[Element]:
    if total.first_seen is not None and total.last_seen is not None:
        yield h.dt["First and last call"]
        yield h.dd[f"{_moment(total.first_seen, zone)} and {_moment(total.last_seen, zone)}"]


def _moment(at: int, zone: ZoneInfo) -> str:
    """Return a time to the minute, such as `1 December 2026 00:00`."""
    local = datetime.fromtimestamp(at, zone)
    return f"{local.day} {MONTHS[local.month - 1]} {local.year} {local:%H:%M}"


Row = tuple[tuple[str, ...], UsageTotals]  # of a table: its names, and its sums


def _rows(usage: Iterable[Row]) -> list[Row]:
    """Return one row for each of the names, the largest cost first."""
    parts: dict[tuple[str, ...], list[UsageTotals]] = {}
    for names, totals in usage:
        parts.setdefault(names, []).append(totals)
    rows = [(names, sum_totals(some)) for names, some in parts.items()]
    return sorted(rows, key=lambda row: (-row[1].cost_nano_usd, row[0]))


def _addresses(statement: Statement, total: UsageTotals) -> Element:
    """Return the table of addresses: all of them, however many, because a bill must be complete."""
    if statement.recipient.label is not None:
        return _table("Addresses", ["Address"], _rows(((line.ip,), line.totals) for line in statement.lines), total)
    rows = _rows(((line.ip, line.label or "(no label)"), line.totals) for line in statement.lines)
    return _table("Addresses", ["Address", "Label"], rows, total)


def _days(days: Sequence[StatementDay], total: UsageTotals) -> Element:
    rows = _rows(((f"{one.day}",), one.totals) for one in days)
    return _table("Days", ["Day"], sorted(rows, key=lambda row: row[0]), total)


def _table(caption: str, names: Sequence[str], rows: Sequence[Row], total: UsageTotals) -> Element:
    units = [(field, head) for field, head in OTHER_UNITS if getattr(total, field)]
    heads = ["Requests", "Input tokens", "Output tokens", *(head for _, head in units), "USD"]
    usd = usd_column([*(totals.cost_nano_usd for _, totals in rows), total.cost_nano_usd])
    has_ms = any(totals.audio_ms % 1000 for _, totals in rows)

    def numbers(totals: UsageTotals, cost: str) -> Node:
        counts = [totals.requests, totals.input_tokens, totals.output_tokens]
        others = (_units(field, getattr(totals, field), has_ms=has_ms) for field, _ in units)
        return [h.td[text] for text in (*(f"{count:,}" for count in counts), *others, cost)]

    return h.table(class_="wide" if len(units) >= MANY_UNITS else None)[
        h.caption[caption],
        h.thead[
            h.tr[(h.th(".name", scope="col")[name] for name in names), (h.th(scope="col")[head] for head in heads)]
        ],
        h.tbody[
            (
                h.tr[
                    h.th(".name", scope="row")[_name(own[0])],
                    (h.td(".name")[_name(other)] for other in own[1:]),
                    numbers(totals, cost),
                ]
                for (own, totals), cost in zip(rows, usd, strict=False)  # the last amount is the total
            )
        ],
        h.tfoot[h.tr[h.th(".name", scope="row", colspan=len(names))["Total"], numbers(total, usd[-1])]],
    ]


def _units(field: str, count: int, *, has_ms: bool) -> str:
    """Return a number of units, nothing for none; audio in minutes and seconds, with or without milliseconds."""
    if not count:
        return ""
    if field != "audio_ms":
        return f"{count:,}"
    minutes, rest = divmod(count, 60_000)
    return f"{minutes:,}:{rest // 1000:02}" + (f".{rest % 1000:03}" if has_ms else "")


def _chart(usage: Sequence[StatementDay]) -> Node:
    if not usage:
        return None
    first, last = min(one.day for one in usage), max(one.day for one in usage)
    if (last - first).days >= MAX_CHART_DAYS:
        return None
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    costs: dict[str, Counter[date]] = {}
    for one in usage:
        costs.setdefault(one.model, Counter())[one.day] += one.totals.cost_nano_usd
    series = [ChartSeries(model, tuple(own[day] for day in days)) for model, own in costs.items()]
    names = [f"{day.day} {MONTHS[day.month - 1][:3]}" for day in days]
    return h.figure[draw_stacks("USD by day and model", names, series)]


def _sentences(statement: Statement, total: UsageTotals) -> Iterator[Node]:
    period, recipient, lines = statement.period, statement.recipient, statement.lines
    if period.late_requests and recipient == Recipient():  # the number is that of the whole period
        yield f"Late: {_requests(period.late_requests)} began in an earlier period, and came after its close."
    estimated = f"Estimated: {total.estimated_requests:,} of {_requests(total.requests)}."
    yield estimated + ((total.estimated_requests and " The provider did not report what they used.") or "")
    if total.unpriced_requests:
        models: Counter[str] = Counter()
        for line in lines:
            models[line.model] += line.totals.unpriced_requests
        ranked = sorted((-count, model) for model, count in models.items() if count)
        named = [[", " if at else "", _name(model), f" ({-count:,})"] for at, (count, model) in enumerate(ranked)]
        yield [f"Without a known price, counted as 0 USD: {_requests(total.unpriced_requests)}, of ", named, "."]
    if recipient.label is not None or any(line.label is not None for line in lines):
        origin = "close" if period.has_labels_of_close else "day on which this statement was written"
        yield f"Labels are those of the {origin}."
    if statement.days is None:
        yield "Without a table and a chart of days: the calls were too many to add up by day."


def _requests(count: int) -> str:
    return f"{count:,} request" if count == 1 else f"{count:,} requests"
