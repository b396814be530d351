"""What calls of a window used, by everything that a budget may match or count by."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, func, literal, null, select

from hero_broker.store.schema import REQUEST_LOGS

IDS = 500  # in one statement
ROWS = 1000  # that are fetched at once


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
    cost_nano_usd: int


def usage_by_group(connection: Connection, since: int, until: int, *, by_context: bool) -> Iterator[GroupUsage]:
    """Yield the sums over the rows with `since <= started_at < until`, by address, model, provider and kind.

    SELECT ip, context, model, provider, kind, count(*), sum(…) FROM request_logs WHERE … GROUP BY …
    """
    c = REQUEST_LOGS.c
    keys = [c.ip, *([c.context] if by_context else []), c.model, c.provider, c.kind]
    sums = [
        func.coalesce(func.sum(column), literal(0)) for column in (c.input_tokens, c.output_tokens, c.cost_nano_usd)
    ]
    context = c.context if by_context else null().label("context")
    statement = select(c.ip, context, c.model, c.provider, c.kind, func.count(), *sums)
    statement = statement.where(c.started_at >= since, c.started_at < until).group_by(*keys)
    for row in connection.execute(statement).yield_per(ROWS):
        ip, context, model, provider, kind, *numbers = row
        yield GroupUsage(ip, context, model, provider, kind, *map(int, numbers))


def recorded(connection: Connection, request_ids: Collection[str]) -> set[str]:
    """Return those of the ids that have a row."""
    ids, found = list(request_ids), set[str]()
    for at in range(0, len(ids), IDS):
        statement = select(REQUEST_LOGS.c.request_id).where(REQUEST_LOGS.c.request_id.in_(ids[at : at + IDS]))
        found.update(connection.execute(statement).scalars())
    return found
