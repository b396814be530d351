"""What calls of a window used, by everything that a budget may match or count by."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, null, select

from hero_broker.store.schema import REQUEST_LOGS
from hero_broker.store.sums import COST, bounded

IDS = 500  # in one statement
ROWS = 1000  # that are fetched at once
_SUMMED = ("input_tokens", "output_tokens", COST)


class GroupUsage(NamedTuple):
    """What the calls of one group used together."""

    ip: str
    context: str | None  # None too if the query leaves it out
    model: str
    provider: str
    kind: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int  # at most `sums.LARGEST`


def usage_by_group(connection: Connection, condition: ColumnElement[bool], *, by_context: bool) -> Iterator[GroupUsage]:
    """Yield the sums over the rows that meet a condition, by address, model, provider and kind, and maybe by context.

    SELECT ip, context, model, provider, kind, count(*), sum(…) FROM request_logs WHERE … GROUP BY …
    """
    c = REQUEST_LOGS.c
    keys = [c.ip, *([c.context] if by_context else []), c.model, c.provider, c.kind]
    contributions: dict[str, ColumnElement[int]] = {name: func.coalesce(c[name], 0) for name in _SUMMED}
    *counts, cost = bounded(connection.dialect.name, contributions)
    context = c.context if by_context else null().label("context")
    statement = select(c.ip, context, c.model, c.provider, c.kind, func.count(), *counts, cost)
    for row in connection.execute(statement.where(condition).group_by(*keys)).yield_per(ROWS):
        ip, context, model, provider, kind, *numbers = row
        yield GroupUsage(ip, context, model, provider, kind, *map(int, numbers))


def recorded(connection: Connection, request_ids: Collection[str]) -> set[str]:
    """Return those of the ids that have a row."""
    ids, found = list(request_ids), set[str]()
    for at in range(0, len(ids), IDS):
        statement = select(REQUEST_LOGS.c.request_id).where(REQUEST_LOGS.c.request_id.in_(ids[at : at + IDS]))
        found.update(connection.execute(statement).scalars())
    return found
