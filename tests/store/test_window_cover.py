"""Blocks and edges are the windows they stand for: all of them, once, and few."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.store.schema import ALL_TIME, DAY, HOUR, ROLLUPS, USAGE_BY_IP, USAGE_BY_MODEL
from hero_broker.store.window_cover import cover_window

SPANS = [table.info["spans"] for table in ROLLUPS]
moments = st.one_of(st.integers(0, 400 * DAY), st.integers(0, 400 * 24).map(lambda hour: hour * HOUR))


@given(bounds=st.lists(moments, min_size=2, max_size=5).map(sorted), spans=st.sampled_from(SPANS))
def test_cover_is_the_windows_and_nothing_twice(bounds: list[int], spans: tuple[int, ...]) -> None:
    windows = list(pairwise(bounds))

    found = cover_window(windows, spans)

    parts = sorted(
        [(block.begins_at, block.begins_at + block.span_s, block.bucket) for block in found.blocks]
        + [(edge.since, edge.until, edge.bucket) for edge in found.edges]
    )
    assert all(one[1] <= following[0] for one, following in pairwise(parts))
    for number, (since, until) in enumerate(windows):
        inside = [part for part in parts if part[2] == number]
        assert sum(end - start for start, end, _ in inside) == until - since
        assert all(since <= start < end <= until for start, end, _ in inside)
    for block in found.blocks:
        assert block.span_s != ALL_TIME
        assert block.begins_at % block.span_s == 0
    for edge in found.edges:
        assert edge.until - edge.since < 2 * HOUR


@pytest.mark.parametrize(("spans", "most"), [(USAGE_BY_MODEL.info["spans"], 110), (USAGE_BY_IP.info["spans"], 70)])
@given(since=moments, length=st.integers(0, 90 * DAY))
def test_any_window_of_a_quarter_is_few_blocks(spans: tuple[int, ...], most: int, since: int, length: int) -> None:
    assert len(cover_window([(since, since + length)], spans).blocks) <= most


@pytest.mark.parametrize("spans", SPANS)
def test_each_span_is_a_multiple_of_the_one_before(spans: tuple[int, ...]) -> None:
    bounded = [span for span in spans if span != ALL_TIME]

    assert bounded[0] == HOUR
    assert all(larger % smaller == 0 for smaller, larger in pairwise(bounded))
    assert spans.count(ALL_TIME) == (1 if spans[-1] == ALL_TIME else 0)


@pytest.mark.parametrize("spans", SPANS)
def test_window_without_end_is_a_bounded_number_of_blocks(spans: tuple[int, ...]) -> None:
    found = cover_window([(5, 2**53)], spans)

    length = sum(block.span_s for block in found.blocks) + sum(edge.until - edge.since for edge in found.edges)
    assert length == 2**53 - 5
    assert len(found.blocks) < 3_000
    assert len(found.edges) == 2
