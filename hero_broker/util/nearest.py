"""Suggests the names that are most like a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import pairwise

MAX_NAME = 100  # characters; to compare longer ones would take long
MAX_SUGGESTIONS = 3
MAX_COMPARED = 20  # of an index; `difflib` would take up to 50 ms to compare a name with a thousand others
_BITS = 128


def nearest(name: str, names: Iterable[str], count: int = MAX_SUGGESTIONS) -> list[str]:
    """Return at most `count` of a few `names`, the most similar first; none of them if `name` is long or unlike all."""
    return get_close_matches(name, names, n=count) if len(name) <= MAX_NAME else []


class NameIndex:
    """Many names, of which the nearest are found in less than a millisecond."""

    def __init__(self, names: Iterable[str]) -> None:
        self._pairs = [(name, _letter_pairs(name)) for name in dict.fromkeys(names)]

    def nearest(self, name: str, count: int = MAX_SUGGESTIONS) -> list[str]:
        """Return at most `count` names as `nearest` does, chosen among those that share most pairs of letters."""
        if len(name) > MAX_NAME:
            return []
        wanted = _letter_pairs(name)
        likely = nlargest(MAX_COMPARED, self._pairs, key=lambda pair: _similarity(wanted, pair[1]))
        return nearest(name, [other for other, _ in likely], count)


def _letter_pairs(name: str) -> int:
    """Return a set of the pairs of neighbouring letters, each as one bit; different pairs may have the same bit."""
    pairs = 0
    for first, second in pairwise(name.lower()):
        pairs |= 1 << (ord(first) * 31 + ord(second)) % _BITS
    return pairs


def _similarity(pairs: int, others: int) -> float:
    return (pairs & others).bit_count() / (pairs.bit_count() + others.bit_count() or 1)


def did_you_mean(suggestions: list[str]) -> str:
    """Return the question that names the suggestions, such as `did you mean a, b or c?`; empty without any."""
    if not suggestions:
        return ""
    *first, last = suggestions
    return f"did you mean {', '.join(first)} or {last}?" if first else f"did you mean {last}?"
