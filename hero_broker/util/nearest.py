"""Suggests the names that are most like a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAME = 100  # characters; to compare longer ones would take long
MAX_SUGGESTIONS = 3


def nearest(name: str, names: Iterable[str], count: int = MAX_SUGGESTIONS) -> list[str]:
    """Return at most `count` of a few `names`, the most similar first; none of them if `name` is long or unlike all."""
    return get_close_matches(name, names, n=count) if len(name) <= MAX_NAME else []


def did_you_mean(suggestions: list[str]) -> str:
    """Return the question that names the suggestions, such as `did you mean a, b or c?`; empty without any."""
    if not suggestions:
        return ""
    *first, last = suggestions
    return f"did you mean {', '.join(first)} or {last}?" if first else f"did you mean {last}?"
