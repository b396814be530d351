"""Statements on labels. Every change increments the revision, so that cached labels can be recognised as stale."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from hero_broker.core.errors import InvalidParams, NotRecorded
from hero_broker.core.labels import Label, LabelChanges
from hero_broker.store.schema import LABELS

MAX_LABELS = 10_000


def revision(connection: Connection) -> int:
    """Return the number of the last change; 0 before the first."""
    return int(connection.execute(select(func.coalesce(func.max(LABELS.c.revision), 0))).scalar_one())


def labels(connection: Connection) -> list[Label]:
    """Return all labels, in no order."""
    c = LABELS.c
    rows = connection.execute(select(c.target, c.label, c.set_at).where(c.label.is_not(None)))
    return [Label(target, label, set_at) for target, label, set_at in rows]


def find(connection: Connection, targets: Sequence[str]) -> Label:
    """Return the label of the first of these targets that has one.

    Raises:
        NotRecorded: none of them has a label.
    """
    c = LABELS.c
    rows = connection.execute(
        select(c.target, c.label, c.set_at).where(c.target.in_(targets), c.label.is_not(None))
    ).all()
    if not rows:
        raise NotRecorded("No such label")
    first = min(rows, key=lambda row: targets.index(row.target))
    return Label(first.target, first.label, first.set_at)


def put(connection: Connection, label: Label) -> None:
    """Set a target's label. Needs a writing transaction.

    Raises:
        InvalidParams: there are `MAX_LABELS` labels of other targets already.
    """
    c = LABELS.c
    others = select(func.count()).where(c.label.is_not(None), c.target != label.target)
    if connection.execute(others).scalar_one() >= MAX_LABELS:
        raise InvalidParams("target", f"exceeds the limit of {MAX_LABELS:,} labels: remove one first")
    _replace(connection, [label])


def put_many(connection: Connection, new: Sequence[Label]) -> LabelChanges:
    """Set the labels of targets, each given once; leave those that are set already. Needs a writing transaction.

    Raises:
        InvalidParams: there would be more than `MAX_LABELS` labels.
    """
    existing = {label.target: label for label in labels(connection)}
    added = tuple(label for label in new if label.target not in existing)
    if len(existing) + len(added) > MAX_LABELS:
        count = len(existing) + len(added)
        raise InvalidParams("csv", f"exceeds the limit of {MAX_LABELS:,} labels: with it there would be {count:,}")
    others = [label for label in new if label.target in existing]
    changed = tuple(
        (label, existing[label.target].label) for label in others if existing[label.target].label != label.label
    )
    unchanged = tuple(existing[label.target] for label in others if existing[label.target].label == label.label)
    if added or changed:
        _replace(connection, [*added, *(label for label, _ in changed)])
    return LabelChanges(added, changed, unchanged)


def _replace(connection: Connection, new: Sequence[Label]) -> None:
    c = LABELS.c
    after = revision(connection)
    connection.execute(delete(LABELS).where(c.target.in_([label.target for label in new])))
    connection.execute(
        insert(LABELS),
        [
            {"target": label.target, "label": label.label, "set_at": label.set_at, "revision": after + 1}
            for label in new
        ],
    )
    connection.execute(delete(LABELS).where(c.label.is_(None)))


def remove(connection: Connection, target: str) -> Label:
    """Remove a target's label and return it. Needs a writing transaction.

    Raises:
        NotRecorded: the target has no label.
    """
    c = LABELS.c
    row = connection.execute(select(c.label, c.set_at).where(c.target == target, c.label.is_not(None))).one_or_none()
    if row is None:
        raise NotRecorded("No such label")
    after = revision(connection)
    connection.execute(delete(LABELS).where(c.label.is_(None)))
    # The row stays without its label: it holds the revision, which must not decrease.
    connection.execute(update(LABELS).where(c.target == target).values(label=None, revision=after + 1))
    return Label(target, row.label, row.set_at)
