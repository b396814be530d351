"""Statements on `responses`: who may refer to which response that a provider keeps."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from hero_broker.core.records import StoredResponse
from hero_broker.store.json_lists import listed
from hero_broker.store.schema import RESPONSES

KEY = ("response_id", "owner")
_NAMES = tuple(field.name for field in fields(StoredResponse))
_CHANGED = tuple(name for name in _NAMES if name not in KEY)


def put(connection: Connection, responses: Sequence[StoredResponse]) -> None:
    """Insert lines; a later line with the same id and owner replaces an earlier one."""
    if connection.dialect.name == "sqlite":
        lines = [asdict(response) for response in responses]
        connection.execute(_replacing(sqlite.insert(RESPONSES)), lines)
    else:  # one statement for all lines: PostgreSQL would answer each one by itself
        latest = {(response.response_id, response.owner): astuple(response) for response in responses}
        each = listed("postgresql", "lines", {name: RESPONSES.c[name].type for name in _NAMES})
        adding = postgresql.insert(RESPONSES).from_select(_NAMES, select(*[each.c[name] for name in _NAMES]))
        connection.execute(_replacing(adding), {"lines": msgspec.json.encode(list(latest.values())).decode()})


def _replacing(statement: Any) -> Any:
    changes = {name: statement.excluded[name] for name in _CHANGED}
    return statement.on_conflict_do_update(index_elements=KEY, set_=changes)


def find(connection: Connection, response_id: str, owner: str, now: int) -> StoredResponse | None:
    """Return the owner's line of an id; None if it has none, or the line has expired by `now` (unix seconds)."""
    c = RESPONSES.c
    query = select(RESPONSES).where(c.response_id == response_id, c.owner == owner, c.expires_at > now)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    values = row._mapping
    fields_of_line: dict[str, Any] = {name: values[name] for name in _NAMES}
    return StoredResponse(**fields_of_line)


def remove(connection: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Remove lines, each given by its id and owner; lines that are not there count as removed."""
    key = tuple_(RESPONSES.c.response_id, RESPONSES.c.owner)
    connection.execute(delete(RESPONSES).where(key.in_(keys)))


def remove_expired(connection: Connection, now: int, max_rows: int) -> int:
    """Remove at most `max_rows` lines that have expired by `now` (unix seconds), the oldest first; return how many."""
    c = RESPONSES.c
    query = select(c.response_id, c.owner).where(c.expires_at <= now).order_by(c.expires_at).limit(max_rows)
    return connection.execute(delete(RESPONSES).where(tuple_(c.response_id, c.owner).in_(query))).rowcount


def page(connection: Connection, after: tuple[str, str], max_rows: int) -> list[dict[str, object]]:
    """Return the lines that follow a key, in the order of their keys; the key of none comes before all."""
    key = tuple_(RESPONSES.c.response_id, RESPONSES.c.owner)
    query = select(RESPONSES).where(key > after).order_by(RESPONSES.c.response_id, RESPONSES.c.owner).limit(max_rows)
    return [dict(row._mapping) for row in connection.execute(query)]
