"""Charts show each amount once, in proportion, whatever the names are; and the same data give the same bytes."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import NANO
from hero_broker.dashboard.charts import (
    COLOURS,
    MAX_BARS,
    MAX_SERIES,
    NOTHING,
    PLOT_HEIGHT,
    WIDTH,
    ChartBar,
    ChartSeries,
    draw_bars,
    draw_stacks,
    printable,
    svg_file,
)

SVG = "{http://www.w3.org/2000/svg}"
DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img onerror=x>',
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f4a1",
    "W" * 100,
    "a\u202eb",
    "\x00",
]


def parsed(chart: object) -> ET.Element:
    return ET.fromstring(svg_file(chart))  # type: ignore[arg-type] # noqa: S314  # of our own


def texts(root: ET.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}text")]


def titled(root: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """Yield each rectangle that has a title, and the title."""
    for rect in root.iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            yield title.text or "", rect


def test_bars_are_as_long_as_what_was_spent() -> None:
    root = parsed(draw_bars("USD by ip", [ChartBar("a", 3 * NANO), ChartBar("b", NANO), ChartBar("c", 0)]))

    lengths = [one.get("width") for one in root.iter(f"{SVG}rect") if one.get("fill") == COLOURS[0]]
    assert lengths == [f"{WIDTH}.0", f"{WIDTH // 3}.0", "0.0"]
    assert texts(root) == ["USD by ip", "a", "3.00", "b", "1.00", "c", "0.00"]


def test_smallest_spend_is_still_seen() -> None:
    root = parsed(draw_bars("USD", [ChartBar("a", 2**62), ChartBar("b", 1)]))

    assert [one.get("width") for one in root.iter(f"{SVG}rect")][-1] == "1.0"


def test_bars_beyond_the_most_are_one() -> None:
    root = parsed(draw_bars("USD", [ChartBar(f"ip {at}", NANO) for at in range(MAX_BARS + 4)]))

    assert texts(root)[-2:] == ["5 others", "5.00"]
    assert f"in all {MAX_BARS + 4}.00 USD" in (root.findtext(f"{SVG}desc") or "")


def test_parts_of_a_bar_touch_and_add_up() -> None:
    series = [ChartSeries("small", (NANO, 0, 1)), ChartSeries("large", (3 * NANO, 2 * NANO, 0))]

    root = parsed(draw_stacks("USD by day and model", DAYS, series, "November"))

    parts = {title: (float(one.get("y", "")), float(one.get("height", ""))) for title, one in titled(root)}
    assert list(parts) == [
        "2026-11-01, large: 3.00 USD",
        "2026-11-01, small: 1.00 USD",
        "2026-11-02, large: 2.00 USD",
        "2026-11-03, small: 0.000000001 USD",
    ]
    (large_top, large_height), (small_top, small_height), *_ = parts.values()
    assert small_top + small_height == large_top
    assert (large_height, small_height) == (PLOT_HEIGHT * 3 / 4, PLOT_HEIGHT / 4)


def test_legend_has_the_sum_of_each_series_and_the_rest() -> None:
    series = [ChartSeries(f"model {at}", (at * NANO,)) for at in range(MAX_SERIES + 2)]

    root = parsed(draw_stacks("USD by day and model", ["2026-11-01"], series))

    expected = [text for at in range(7, 1, -1) for text in (f"model {at}", f"{at}.00")]
    assert texts(root)[-14:] == [*expected, "2 others", "1.00"]


@pytest.mark.parametrize("count", [1, 2, 31, 366, 5000])
def test_names_of_buckets_do_not_overlap(count: int) -> None:
    buckets = [f"2026-{at:06}" for at in range(count)]
    root = parsed(draw_stacks("USD", buckets, [ChartSeries("a", (1,) * count)]))

    xs = [int(one.get("x", "")) for one in root.iter(f"{SVG}text") if (one.text or "").startswith("2026-")]
    assert xs
    assert all(later - earlier >= 7 * len(buckets[0]) for earlier, later in pairwise(xs))


def test_nothing_spent_is_said() -> None:
    for chart in (
        draw_bars("USD", []),
        draw_stacks("USD", [], []),
        draw_stacks("USD", DAYS, [ChartSeries("a", (0, 0, 0))]),
    ):
        assert texts(parsed(chart)) == ["USD", NOTHING]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_name_is_text(name: str) -> None:
    charts = [
        draw_bars(name, [ChartBar(name, NANO)], name),
        draw_stacks(name, ["d"], [ChartSeries(name, (NANO,))], name),
    ]

    for chart in charts:
        root = parsed(chart)

        assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
            *["svg", "title", "desc", "rect", "text", "g", "line", "defs", "pattern"]
        }
        assert root.findtext(f"{SVG}title") == printable(name)
        assert all(len(text) < 60 for text in texts(root))


def test_chart_has_a_role_a_title_and_a_description() -> None:
    root = parsed(draw_stacks("USD by day", DAYS, [ChartSeries("all", (NANO, 2 * NANO, 0))]))

    assert root.get("role") == "img"
    assert [one.tag for one in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root.findtext(f"{SVG}desc") == (
        "Bars from 2026-11-01 to 2026-11-03; in all 3.00 USD, the most in 2026-11-02: 2.00 USD."
    )


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 2**62)), max_size=9), st.integers(1, 4))
def test_chart_of_any_amounts_is_well_formed_and_the_same_again(amounts: list[tuple[str, int]], buckets: int) -> None:
    series = [ChartSeries(name, (cost,) * buckets) for name, cost in amounts]
    bars = [ChartBar(name, cost) for name, cost in amounts]

    drawn = [svg_file(one) for one in (draw_stacks("USD", DAYS[:1] * buckets, series), draw_bars("USD", bars))]
    again = [svg_file(one) for one in (draw_stacks("USD", DAYS[:1] * buckets, series), draw_bars("USD", bars))]

    assert drawn == again
    assert all(ET.fromstring(one).tag == f"{SVG}svg" for one in drawn)  # noqa: S314  # of our own
