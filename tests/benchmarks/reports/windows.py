"""The windows of the reports: from an hour to all time, with edges inside hours."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.reports.rows import DAY_S, FIRST_AT, LAST_AT

HOUR_S = 3600
LENGTHS_H = {
    "1 h": 1,
    "5 h": 5,
    "23 h": 23,
    "1 d": 24,
    "3 d": 72,
    "7 d": 7 * 24,
    "30 d": 30 * 24,
    "58 d": 58 * 24,
    "61 d": 61 * 24,
    "89 d": 89 * 24,
    "90 d": 90 * 24,
}
ANYWHERE = 2  # windows of each length that begin anywhere


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds on `started_at`, half-open; None: none."""

    title: str
    since: int | None = None
    until: int | None = None


ALL_TIME = Window("all time")


def windows() -> Sequence[Window]:
    """Return windows of each length: some anywhere, some whose edges have as much of an hour as they can have."""
    source = random.Random(7)  # noqa: S311 - windows that can be made again, no secrets
    found = []
    for title, hours in LENGTHS_H.items():
        length_s = hours * HOUR_S
        last = max(FIRST_AT + 1, LAST_AT - length_s)
        begins = [source.randrange(FIRST_AT, last) // HOUR_S * HOUR_S for _ in range(ANYWHERE + 2)]
        for begin in begins[:ANYWHERE]:
            since = begin + source.randrange(1, HOUR_S)
            found.append(Window(title, since, since + length_s))
        for begin, longer_s in zip(begins[ANYWHERE:], (0, HOUR_S - 2), strict=True):
            found.append(Window(title, begin + 1, begin + 1 + length_s + longer_s))
    return found


def month() -> Window:
    """Return 30 days in the midst of all, with edges inside hours."""
    since = FIRST_AT + 31 * DAY_S + 1234
    return Window("30 d", since, since + 30 * DAY_S)
