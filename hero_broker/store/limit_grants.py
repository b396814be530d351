"""Statements on grants: what subjects of budgets may use beyond the amount. None is removed; one may end early."""

import json
import logging
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from hero_broker.core.errors import InvalidParams, NotRecorded
from hero_broker.core.limits import Grant
from hero_broker.store.schema import LIMIT_GRANTS

log = logging.getLogger(__name__)

MAX_GRANTS = 10_000  # in force


def revision(connection: Connection) -> int:
    """Return the number of the last change, a grant or a revocation; 0 before the first.

    A grant that ends by its time does not change it, and neither does `end`: the definition of its limit changes too.
    """
    return int(connection.execute(select(func.coalesce(func.max(LIMIT_GRANTS.c.revision), 0))).scalar_one())


def in_force(connection: Connection, at: int) -> list[Grant]:
    """Return the grants that have not ended at a time (unix seconds), in the order in which they were made.

    One whose subject cannot be read raises nothing; it is logged.
    """
    rows = connection.execute(select(LIMIT_GRANTS).where(_lasts(at)).order_by(LIMIT_GRANTS.c.grant_id))
    found = (_grant(row) for row in rows)
    return [one for one in found if one is not None]


def add(connection: Connection, new: Grant) -> Grant:
    """Add a grant; return it with its number, whatever number it had. Needs a writing transaction.

    Raises:
        InvalidParams: `MAX_GRANTS` grants are in force.
    """
    lasting = select(func.count()).select_from(LIMIT_GRANTS).where(_lasts(new.granted_at))
    if connection.execute(lasting).scalar_one() >= MAX_GRANTS:
        raise InvalidParams("name", f"exceeds the limit of {MAX_GRANTS:,} grants in force")
    latest = connection.execute(select(func.coalesce(func.max(LIMIT_GRANTS.c.grant_id), 0))).scalar_one()
    added = replace(new, grant_id=latest + 1)
    connection.execute(
        insert(LIMIT_GRANTS),
        {
            "grant_id": added.grant_id,
            "name": added.name,
            "subject": json.dumps(dict(added.subject), ensure_ascii=False, separators=(",", ":"), sort_keys=True),
            "unit": added.unit,
            "amount": added.amount,
            "granted_at": added.granted_at,
            "until": added.until,
            "reason": added.reason,
            "revision": revision(connection) + 1,
        },
    )
    return added


def revoke(connection: Connection, grant_id: int, at: int) -> Grant:
    """Let a grant that is in force end at a time (unix seconds); return it. Needs a writing transaction.

    Raises:
        NotRecorded: no grant in force has this number.
    """
    c = LIMIT_GRANTS.c
    row = connection.execute(select(LIMIT_GRANTS).where(c.grant_id == grant_id, _lasts(at))).one_or_none()
    revoked = None if row is None else _grant(row)
    if revoked is None:
        raise NotRecorded("No such grant in force")
    changes = {"until": at, "revision": revision(connection) + 1}
    connection.execute(update(LIMIT_GRANTS).where(c.grant_id == grant_id).values(changes))
    return replace(revoked, until=at)


def end(connection: Connection, name: str, at: int) -> None:
    """Let the grants of a limit that are in force end at a time (unix seconds). Needs a writing transaction."""
    connection.execute(update(LIMIT_GRANTS).where(LIMIT_GRANTS.c.name == name, _lasts(at)).values(until=at))


def _subject(text: str) -> dict[str, str | None] | None:
    """Return a stored subject; None if it is not one, because somebody has written it by hand."""
    try:
        subject: object = json.loads(text)
    except ValueError:
        return None
    if isinstance(subject, dict) and all(value is None or isinstance(value, str) for value in subject.values()):
        return subject
    return None


def _grant(row: Row[Any]) -> Grant | None:
    """Return the grant of a row; log it, and return None, if its subject cannot be read."""
    subject = _subject(row.subject)
    if subject is None:
        log.error("limits: the subject of grant %d of %s cannot be read, so it raises nothing", row.grant_id, row.name)
        return None
    return Grant(row.grant_id, row.name, subject, row.unit, row.amount, row.granted_at, row.until, row.reason)


def _lasts(at: int) -> ColumnElement[bool]:
    return or_(LIMIT_GRANTS.c.until.is_(None), LIMIT_GRANTS.c.until > at)
