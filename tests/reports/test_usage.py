"""Reports equal the sums of the rows, whatever is folded, at any time, in any zone."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import FAILED_OUTCOMES, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import TooWide
from hero_broker.core.labels import Label, LabelIndex, canonical_target
from hero_broker.core.queries import Bucket, Dimension, Filter, UsageQuery
from hero_broker.core.records import IpUsage, RequestLog, UsageReport, UsageTotals
from hero_broker.core.usage import UsageSource
from hero_broker.reports import usage
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store import labels as stored
from hero_broker.store import rollups
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import ROLLUPS, SUMS_SINCE_5
from tests.ledger.rows import row

# Around the two changes of the clock in Berlin in 2023, and one of Lord Howe Island's, which are of half an hour.
SPRING, AUTUMN = 1_679_792_400, 1_698_541_200
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Cuba"]
PART_HOUR_ZONES = ZONES[2:5]
IPS = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "2001:db8::1", "2001:db8:0:1::1", "4ff:1::9", "unknown"]

moments = st.one_of(
    st.integers(SPRING - 3 * 86_400, SPRING + 3 * 86_400),
    st.integers(AUTUMN - 3 * 86_400, AUTUMN + 3 * 86_400),
    st.sampled_from([SPRING, AUTUMN]).flatmap(lambda at: st.sampled_from([at - 1, at, at + 3600, at + 86_400])),
    st.integers(SPRING, AUTUMN),
)
rows_of_calls = st.builds(
    lambda ip, **changes: row(ip=ip, ip_key=ip_key(ip), **changes),
    ip=st.sampled_from(IPS),
    started_at=moments,
    model=st.sampled_from(["llama", "gpt", "Ärger"]),
    provider=st.sampled_from(["groq", "openai"]),
    kind=st.sampled_from(["chat", "tts"]),
    api_key_id=st.sampled_from([None, None, "key-1", "key-2"]),
    context=st.sampled_from([None, "", "a", "Zürich"]),
    outcome=st.sampled_from(Outcome),
    usage_source=st.sampled_from(UsageSource),
    input_tokens=st.one_of(st.none(), st.integers(0, 10**9)),
    output_tokens=st.one_of(st.none(), st.integers(0, 10**9)),
    cost_nano_usd=st.one_of(st.none(), st.integers(0, 10**12), st.just(7)),
    **dict.fromkeys(SUMS_SINCE_5, st.one_of(st.none(), st.integers(0, 10**9))),
)
Bounds = tuple[int | None, int | None]
windows: st.SearchStrategy[Bounds] = st.one_of(
    st.tuples(moments, moments).map(lambda window: (min(window), max(window))),
    st.tuples(moments, st.none()),
    st.tuples(st.none(), moments),
    st.just((None, None)),
)
LABELS = {
    "192.0.2.0/24": "office",
    "192.0.2.128/25": "Ärger",
    "192.0.2.1": "printer",
    "::/0": "office",  # no IPv4 address has it
    "2001:db8:0:1::/64": "lab",
}
VALUES = {
    Dimension.IP: IPS,
    Dimension.MODEL: ["llama", "gpt"],
    Dimension.KIND: ["chat", "tts"],
    Dimension.API_KEY_ID: ["key-1"],
    Dimension.LABEL: ["office", "Ärger", "nobody", ""],
}
PREFIXES = [None, None, ip_network("192.0.2.0/25"), ip_network("2001:db8::/47"), ip_network("0.0.0.0/0")]
FILTERED = st.sampled_from(
    [
        (),
        (Dimension.IP,),
        (Dimension.MODEL,),
        (Dimension.KIND,),
        (Dimension.LABEL,),
        (Dimension.API_KEY_ID,),
        (Dimension.API_KEY_ID, Dimension.MODEL),
    ]
)
filters = st.builds(
    lambda values, prefix: Filter(values=values, prefix=prefix),
    values=FILTERED.flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in names})
    ),
    prefix=st.sampled_from(PREFIXES),
)


@dataclass
class Ledger:
    """A database that is emptied between examples."""

    database: Database

    @property
    def reports(self) -> Reports:
        return Reports(self.database, LabelBook(self.database, SystemClock()), SystemClock())

    def name(self, labels: Mapping[str, str]) -> None:
        """Replace all labels."""
        with self.database.writing() as connection:
            for label in stored.labels(connection):
                stored.remove(connection, label.target)
            for target, label_text in labels.items():
                stored.put(connection, Label(target, label_text, 0))

    def clear(self) -> None:
        with self.database.engine.execution_options(writes=True).begin() as connection:
            for table in ("request_logs", "rollup_state", *(table.name for table in ROLLUPS)):
                connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(text("DELETE FROM addresses"))
            rollups.begin(connection)

    def fill(self, batches: Sequence[tuple[Sequence[RequestLog], int]]) -> list[RequestLog]:
        """Append each batch and take a fold of so many rows after it."""
        self.clear()
        rows: list[RequestLog] = []
        for batch, folded in batches:
            rows.extend(batch)
            if batch:
                self.database.append(batch, [])
            if folded:
                self.database.fold(folded)
        return rows


@pytest.fixture(scope="module")
def ledger(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Ledger]:
    with open_database(new_ledger(store_name)) as database:
        ledger = Ledger(database)
        ledger.name(LABELS)
        yield ledger


Batches = list[tuple[list[RequestLog], int]]


@pytest.fixture(autouse=True, scope="module")
def few_buckets_and_rows() -> Iterator[None]:
    """Let buckets be queried in several pieces, and more rows than a few be above the watermark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage, "FIRST_BUCKETS", 2)
        patch.setattr(rollups, "FEW_ROWS", 5)
        yield


batches = st.lists(st.tuples(st.lists(rows_of_calls, max_size=6), st.sampled_from([0, 3, 100])), max_size=6)
every = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def totals_of(rows: Sequence[RequestLog]) -> UsageTotals:
    return UsageTotals(
        requests=len(rows),
        failed_requests=sum(one.outcome in FAILED_OUTCOMES for one in rows),
        estimated_requests=sum(one.usage_source is UsageSource.ESTIMATED for one in rows),
        unpriced_requests=sum(one.cost_nano_usd is None for one in rows),
        input_tokens=sum(one.input_tokens or 0 for one in rows),
        output_tokens=sum(one.output_tokens or 0 for one in rows),
        cached_input_tokens=sum(one.cached_input_tokens or 0 for one in rows),
        characters=sum(one.characters or 0 for one in rows),
        audio_ms=sum(one.audio_ms or 0 for one in rows),
        search_units=sum(one.search_units or 0 for one in rows),
        images=sum(one.images or 0 for one in rows),
        web_searches=sum(one.web_searches or 0 for one in rows),
        cost_nano_usd=sum(one.cost_nano_usd or 0 for one in rows),
        first_seen=min((one.started_at for one in rows), default=None),
        last_seen=max((one.started_at for one in rows), default=None),
    )


def label_of(ip: str) -> str | None:
    if ip == "unknown":
        return None
    address = ip_address(ip)
    around = [network for network in map(ip_network, LABELS) if address in network]
    smallest = max(around, key=lambda network: network.prefixlen, default=None)
    return None if smallest is None else LABELS[str(smallest).removesuffix("/32")]


def value_of(one: RequestLog, name: Dimension) -> str | None:
    value = label_of(one.ip) if name is Dimension.LABEL else getattr(one, name)
    return None if value is None else str(value)


def chosen(rows: Sequence[RequestLog], since: int | None, until: int | None, filters: Filter) -> list[RequestLog]:
    return [
        one
        for one in rows
        if (since is None or one.started_at >= since)
        and (until is None or one.started_at < until)
        and all(value_of(one, name) == (value or None) for name, value in filters.values.items())
        and (filters.prefix is None or (one.ip != "unknown" and ip_address(one.ip) in filters.prefix))
    ]


def group_of(one: RequestLog, group_by: Sequence[Dimension], bits: tuple[int, int]) -> tuple[str | None, ...]:
    def value(name: Dimension) -> str | None:
        if name is not Dimension.PREFIX:
            return value_of(one, name)
        if one.ip == "unknown":
            return "unknown"
        length = bits[0] if ip_address(one.ip).version == 4 else bits[1]
        return str(ip_network(f"{one.ip}/{length}", strict=False))

    return tuple(value(name) for name in group_by)


def local(at: int, bucket: str, zone: ZoneInfo) -> tuple[int, ...]:
    """What a clock on the wall shows, down to the bucket; hours that it shows twice are distinguished."""
    shown = datetime.fromtimestamp(at, UTC).astimezone(zone)
    if bucket == "month":
        return shown.year, shown.month
    day = (shown.year, shown.month, shown.day)
    return day if bucket == "day" else (*day, shown.hour, int((shown.utcoffset() or timedelta()).total_seconds()))


CARRIED = [{"ip"}, {"ip", "model"}, {"model", "provider", "kind"}, {"api_key_id", "model"}]
GROUPINGS = [
    (),
    (Dimension.IP,),
    (Dimension.PREFIX,),
    (Dimension.MODEL,),
    (Dimension.IP, Dimension.MODEL),
    (Dimension.LABEL,),
    (Dimension.LABEL, Dimension.MODEL),
    (Dimension.PROVIDER, Dimension.KIND),
    (Dimension.API_KEY_ID,),
    (Dimension.MODEL, Dimension.API_KEY_ID),
    (Dimension.CONTEXT, Dimension.OUTCOME),
    (Dimension.IP, Dimension.KIND),
]
BITS = (25, 47)


def is_carried(group_by: Sequence[Dimension], filters: Filter) -> bool:
    """Whether the roll-ups can answer the query."""
    names = {"ip" if name is Dimension.LABEL else str(name) for name in (*group_by, *filters.values)}
    if filters.prefix is not None or "prefix" in names:
        names = names - {"prefix"} | {"ip"}
    return any(names <= carried for carried in CARRIED)


def is_month(since: int | None, until: int | None) -> bool:
    return since is not None and until is not None and until - since <= 31 * 86_400 + 3_600


async def pages(reports: Reports, question: UsageQuery) -> list[UsageReport]:
    """Follow a report to its end."""
    found = [await reports.usage(question)]
    while found[-1].more:
        last = found[-1].groups[-1]
        seen = (last.start or 0, last.totals.cost_nano_usd, last.key)
        found.append(await reports.usage(replace(question, after=seen)))
    return found


@every
@given(
    batches=batches,
    window=windows,
    filter_by=filters,
    group_by=st.sampled_from(GROUPINGS),
    limit=st.sampled_from([1, 2, 1000]),
)
@pytest.mark.slow
def test_every_grouping_equals_the_sums_of_its_rows(
    ledger: Ledger,
    batches: Batches,
    window: Bounds,
    filter_by: Filter,
    group_by: tuple[Dimension, ...],
    limit: int,
) -> None:
    rows = chosen(ledger.fill(batches), *window, filter_by)
    question = UsageQuery(
        group_by=group_by, since=window[0], until=window[1], filter=filter_by, prefix_bits=BITS, limit=limit
    )
    by_group = defaultdict(list)
    for one in rows:
        by_group[group_of(one, group_by, BITS)].append(one)

    if not is_carried(group_by, filter_by) and not is_month(*window):
        with pytest.raises(TooWide):
            asyncio.run(ledger.reports.usage(question))
        return
    found = asyncio.run(pages(ledger.reports, question))

    groups = [group for page in found for group in page.groups]
    assert [group.group for group in groups] == list(dict.fromkeys(group.group for group in groups))
    assert {group.group: group.totals for group in groups} == {key: totals_of(some) for key, some in by_group.items()}
    assert {page.totals for page in found} == {totals_of(rows)}
    order = [(-group.totals.cost_nano_usd, [(part is not None, part or "") for part in group.key]) for group in groups]
    assert order == sorted(order)


@every
@given(
    batches=batches,
    window=windows,
    filter_by=filters,
    group_by=st.sampled_from(GROUPINGS[:8]),
    zone=st.sampled_from(ZONES),
    bucket=st.sampled_from(["hour", "day", "month"]),
    dense=st.booleans(),
    limit=st.sampled_from([1, 3, 1000]),
)
@pytest.mark.slow
def test_buckets_are_what_clocks_show_and_add_up(
    ledger: Ledger,
    batches: Batches,
    window: Bounds,
    filter_by: Filter,
    group_by: tuple[Dimension, ...],
    zone: str,
    bucket: Bucket,
    dense: bool,
    limit: int,
) -> None:
    rows = chosen(ledger.fill(batches), *window, filter_by)
    question = UsageQuery(
        group_by=group_by,
        since=window[0],
        until=window[1],
        filter=filter_by,
        prefix_bits=BITS,
        bucket=bucket,
        zone=ZoneInfo(zone),
        dense=dense,
        limit=1000 if dense else limit,
    )
    by_cell = defaultdict(list)
    for one in rows:
        by_cell[local(one.started_at, bucket, ZoneInfo(zone)), group_of(one, group_by, BITS)].append(one)

    try:
        found = asyncio.run(pages(ledger.reports, question))
    except TooWide:
        assert zone in PART_HOUR_ZONES or not is_carried(group_by, filter_by)
        assert not is_month(*window)
        return

    groups = [group for page in found for group in page.groups]
    cells = {}
    for group in groups:
        assert group.start is not None
        assert group.end is not None
        assert group.start < group.end
        inside = [one for one in rows if group.start <= one.started_at < group.end]
        assert group.totals == totals_of([one for one in inside if group_of(one, group_by, BITS) == group.group])
        if group.totals.requests:
            cells[local(group.start, bucket, ZoneInfo(zone)), group.group] = group.totals
    assert cells == {cell: totals_of(some) for cell, some in by_cell.items()}
    order = [(group.start, -group.totals.cost_nano_usd) for group in groups]
    assert order == sorted(order)
    assert sum(group.totals.cost_nano_usd for group in groups) == found[0].totals.cost_nano_usd
    if dense and groups:
        starts = sorted({(group.start, group.end) for group in groups})
        assert all(one[1] == following[0] for one, following in pairwise(starts))
        assert len(groups) == len(starts) * len({group.group for group in groups})


TARGETS = st.sampled_from(
    [
        *("0.0.0.0/0", "::ffff:192.0.2.0/120", "192.0.2.128/25", "::ffff:192.0.2.1", "198.51.100.7"),
        *("::/0", "::fffe:0:0/95", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8::1", "400::/7", "unknown"),
    ]
).map(canonical_target)


@every
@given(
    batches=batches,
    window=windows,
    labels=st.dictionaries(TARGETS, st.sampled_from(["office", "lab", "Ärger", "it's"])),
    by_model=st.booleans(),
)
@pytest.mark.slow
def test_sums_over_labels_are_sums_over_addresses_and_of_the_window(
    ledger: Ledger, batches: Batches, window: Bounds, labels: dict[str, str], by_model: bool
) -> None:
    rows = chosen(ledger.fill(batches), *window, Filter())
    more = (Dimension.MODEL,) if by_model else ()
    names = LabelIndex(labels.items())
    by_group = defaultdict(list)
    for one in rows:
        by_group[names.lookup(one.ip), *group_of(one, more, BITS)].append(one)
    expected = {key: totals_of(some) for key, some in by_group.items()}

    async def ask(dimension: Dimension, label: str | None = None) -> UsageReport:
        values = {} if label is None else {Dimension.LABEL: label}
        query = UsageQuery(group_by=(dimension, *more), filter=Filter(values=values), since=window[0], until=window[1])
        return await ledger.reports.usage(query)

    def cost(report: UsageReport) -> int:
        return sum(group.totals.cost_nano_usd for group in report.groups)

    async def compare() -> None:
        by_ip, by_label = await ask(Dimension.IP), await ask(Dimension.LABEL)
        assert {group.group: group.totals for group in by_label.groups} == expected
        assert by_label.totals == by_ip.totals == totals_of(rows)
        assert cost(by_label) == cost(by_ip) == by_label.totals.cost_nano_usd
        for label in {*labels.values(), ""}:
            filtered = await ask(Dimension.LABEL, label)
            assert filtered.groups == tuple(one for one in by_label.groups if one.group[0] == (label or None))
            assert filtered.totals == totals_of([one for one in rows if names.lookup(one.ip) == (label or None)])

    ledger.name(labels)
    try:
        asyncio.run(compare())
    finally:
        ledger.name(LABELS)


@every
@given(batches=batches, bounds=st.lists(moments, min_size=3, max_size=3).map(sorted))
@pytest.mark.slow
def test_neighbouring_windows_add_up(ledger: Ledger, batches: Batches, bounds: list[int]) -> None:
    ledger.fill(batches)
    first, middle, last = bounds

    async def cost(since: int, until: int) -> int:
        return (await ledger.reports.usage_by_ip(since, until, 1000, None)).totals.cost_nano_usd

    async def ask() -> None:
        assert await cost(first, middle) + await cost(middle, last) == await cost(first, last)

    asyncio.run(ask())


@every
@given(batches=batches, window=windows, limit=st.sampled_from([1, 2, 100]))
@pytest.mark.slow
def test_addresses_and_their_models_are_the_sums_of_their_rows(
    ledger: Ledger, batches: Batches, window: Bounds, limit: int
) -> None:
    rows = chosen(ledger.fill(batches), *window, Filter())

    async def ask() -> None:
        items: list[IpUsage] = []
        after = None
        while True:
            page = await ledger.reports.usage_by_ip(*window, limit, after)
            items.extend(page.items)
            assert page.totals == totals_of(rows)
            if not page.more:
                break
            after = (page.items[-1].totals.cost_nano_usd, page.items[-1].ip)
        assert {one.ip: one.totals for one in items} == {
            ip: totals_of([one for one in rows if one.ip == ip]) for ip in {one.ip for one in rows}
        }
        assert len(items) == len({one.ip for one in rows})
        for ip in IPS:
            one_ip = [one for one in rows if one.ip == ip]
            found = await ledger.reports.usage_for_ip(ip, *window)
            assert found.totals == totals_of(one_ip)
            assert {one.model: one.totals for one in found.models} == {
                model: totals_of([one for one in one_ip if one.model == model]) for model in {o.model for o in one_ip}
            }

    asyncio.run(ask())
