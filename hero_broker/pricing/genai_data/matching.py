"""Matches names of models and providers to the clauses of genai-prices' list; the results are those of that package."""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from hero_broker.pricing.genai_data.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    MatchLogic,
)
from hero_broker.pricing.listing import Certainty

MAX_NAME = 200  # characters of a name that is searched for a regular expression
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=[-:]|$)")


def matches(clause: MatchLogic, name: str) -> bool:
    """Return whether a clause matches `name`, which is in lower case."""
    if isinstance(clause, ClauseEquals):
        return name == clause.equals.lower()
    if isinstance(clause, ClauseOr):
        return any(matches(each, name) for each in clause.or_)
    if isinstance(clause, ClauseAnd):
        return all(matches(each, name) for each in clause.and_)
    if isinstance(clause, ClauseContains):
        return clause.contains.lower() in name
    if isinstance(clause, ClauseStartsWith):
        return name.startswith(clause.starts_with.lower())
    if isinstance(clause, ClauseEndsWith):
        return name.endswith(clause.ends_with.lower())
    return _search(clause.regex, name) is not None


# `re` itself keeps 512 expressions, and compiles others again for each name.
_compiled = lru_cache(maxsize=1024)(re.compile)


def _search(expression: str, name: str) -> re.Match[str] | None:
    return _compiled(expression).search(name) if len(name) <= MAX_NAME else None


def with_dashed_dates(name: str) -> str:
    """Return `name` with dashes in each date that has none: the list matches such a name, too, if no model has it."""
    return _COMPACT_DATE.sub(_dashed, name)


def _dashed(found: re.Match[str]) -> str:
    text = "-".join(found.groups())
    try:
        date.fromisoformat(text)
    except ValueError:
        return found[0]
    return f"-{text}"


def certainty_of(clause: MatchLogic, name: str) -> Certainty:
    """Return how certain it is that `name` (in lower case), which `clause` matches, is one of the provider's names."""
    if not matches(clause, name):
        name = with_dashed_dates(name)
    if isinstance(clause, ClauseOr | ClauseAnd):
        clauses = clause.or_ if isinstance(clause, ClauseOr) else clause.and_
        return max((certainty_of(each, name) for each in clauses if matches(each, name)), default=Certainty.INSIDE)
    if isinstance(clause, ClauseEquals):
        return Certainty.ALIAS
    if isinstance(clause, ClauseEndsWith):
        return Certainty.ALIAS if name == clause.ends_with.lower() else Certainty.INSIDE
    if isinstance(clause, ClauseContains):
        return Certainty.BEGINS if name.startswith(clause.contains.lower()) else Certainty.INSIDE
    if isinstance(clause, ClauseStartsWith):
        return Certainty.BEGINS
    hit = _search(clause.regex, name)
    # A pattern that is only a lookahead, to exclude names, matches the empty string.
    return Certainty.BEGINS if hit and hit.start() == 0 < hit.end() else Certainty.INSIDE


def exact_names(clause: MatchLogic) -> Iterator[str]:
    """Yield the names that a clause has in full."""
    if isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseOr):
        for each in clause.or_:
            yield from exact_names(each)
