"""Covers a window with few blocks of whole hours, for roll-ups, and two part hours at its edges, for rows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hero_broker.store.schema import ALL_TIME, HOUR

# The beginning of the year 2200. Only a wrong clock makes later rows, so they are few; a block for each month up to the
# largest time that a row can have would fill the memory.
LAST_BLOCK_ENDS_AT = 7_258_118_400


class Block(NamedTuple):
    """One block of a roll-up."""

    span_s: int
    begins_at: int  # unix seconds, a multiple of `span_s`
    bucket: int  # the number of its window


class WindowEdge(NamedTuple):
    """A part of an hour, half-open: since <= started_at < until."""

    since: int
    until: int
    bucket: int


class Cover(NamedTuple):
    """Blocks and edges that together make up the windows, without overlap."""

    blocks: list[Block]
    edges: list[WindowEdge]


def all_time() -> Cover:
    """Return the cover of all time."""
    return Cover([Block(ALL_TIME, 0, 0)], [])


def cover_window(windows: Iterable[tuple[int, int]], spans: Sequence[int]) -> Cover:
    """Cut half-open windows into as few blocks as `spans` allow; spans are ascending multiples of each other.

    What lies beyond `LAST_BLOCK_ENDS_AT` is an edge, whatever its length: so a window is at most some 3,000 blocks.
    """
    bounded = [span for span in spans if span != ALL_TIME]
    blocks: list[Block] = []
    edges: list[WindowEdge] = []
    for bucket, (since, until) in enumerate(windows):
        first, last = -(-since // HOUR) * HOUR, min(until // HOUR * HOUR, LAST_BLOCK_ENDS_AT)
        if first >= last:
            if since < until:
                edges.append(WindowEdge(since, until, bucket))
            continue
        edges.extend(WindowEdge(*edge, bucket) for edge in ((since, first), (last, until)) if edge[0] < edge[1])
        blocks.extend(Block(*block, bucket) for block in _fill(first, last, bounded))
    return Cover(blocks, edges)


def _fill(since: int, until: int, spans: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Yield the blocks of a window whose bounds are multiples of the first span."""
    span, larger = spans[0], spans[1:]
    inner = (until, until)
    if larger:
        first, last = -(-since // larger[0]) * larger[0], until // larger[0] * larger[0]
        if first < last:
            inner = (first, last)
            yield from _fill(first, last, larger)
    for part in ((since, inner[0]), (inner[1], until)):
        yield from ((span, begins_at) for begins_at in range(*part, span))
