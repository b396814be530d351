"""Statements on limits that are set while brokers run. Every change increments the revision, as of labels."""

from sqlalchemy import Connection, delete, func, insert, select, update

from hero_broker.core.errors import NotRecorded
from hero_broker.core.limits import LimitDefinition
from hero_broker.store.schema import LIMIT_DEFINITIONS


def revision(connection: Connection) -> int:
    """Return the number of the last change; 0 before the first."""
    return int(connection.execute(select(func.coalesce(func.max(LIMIT_DEFINITIONS.c.revision), 0))).scalar_one())


def definitions(connection: Connection) -> list[LimitDefinition]:
    """Return all definitions, by name."""
    c = LIMIT_DEFINITIONS.c
    rows = connection.execute(select(c.name, c.definition, c.set_at).where(c.definition.is_not(None)).order_by(c.name))
    return [LimitDefinition(row.name, row.definition, row.set_at) for row in rows]


def find(connection: Connection, name: str) -> LimitDefinition:
    """Return the definition of a limit.

    Raises:
        NotRecorded: no limit of this name is set.
    """
    c = LIMIT_DEFINITIONS.c
    row = connection.execute(
        select(c.definition, c.set_at).where(c.name == name, c.definition.is_not(None))
    ).one_or_none()
    if row is None:
        raise NotRecorded("No such limit")
    return LimitDefinition(name, row.definition, row.set_at)


def put(connection: Connection, new: LimitDefinition) -> None:
    """Set a limit, in place of one of the same name. Needs a writing transaction."""
    c = LIMIT_DEFINITIONS.c
    after = revision(connection)
    connection.execute(delete(LIMIT_DEFINITIONS).where((c.name == new.name) | c.definition.is_(None)))
    connection.execute(
        insert(LIMIT_DEFINITIONS),
        {"name": new.name, "definition": new.definition, "set_at": new.set_at, "revision": after + 1},
    )


def remove(connection: Connection, name: str) -> LimitDefinition:
    """Remove a limit and return its definition. Needs a writing transaction.

    Raises:
        NotRecorded: no limit of this name is set.
    """
    c = LIMIT_DEFINITIONS.c
    removed = find(connection, name)
    after = revision(connection)
    connection.execute(delete(LIMIT_DEFINITIONS).where(c.definition.is_(None)))
    # The row stays without its definition: it holds the revision, which must not decrease.
    connection.execute(update(LIMIT_DEFINITIONS).where(c.name == name).values(definition=None, revision=after + 1))
    return removed
