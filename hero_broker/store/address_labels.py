"""The labels of the ledger's addresses in SQL, found by ranges of `ip_key`; nothing of it is stored.

WITH label_ranges AS (…), address_labels AS (
    SELECT ip, label FROM label_ranges JOIN addresses ON ip_key BETWEEN first AND last
    UNION ALL the same for the addresses of rows above the watermark that are new
    UNION ALL "unknown"
)
"""

import json
from collections.abc import Mapping
from functools import lru_cache

from sqlalchemy import ColumnElement, Integer, LargeBinary, Text, and_, func, literal, select, union_all
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import CTE, FromClause

from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.labels import LabelIndex
from hero_broker.store.json_lists import TEXT, listed
from hero_broker.store.prepared import parameter
from hero_broker.store.schema import ADDRESSES, BIG, REQUEST_LOGS

LABEL = "label"  # a dimension of an address, without a column of its own
NO_LABEL = ""  # as the value of a filter: addresses without a label
_KEY_BYTES = 16


def label_of(dialect: str, ip: ColumnElement[str]) -> ColumnElement[str]:
    """Return the label of an address, or NULL, in a source that `with_labels` returned.

    Needs the values of `label_values`, and `folded`, the watermark.
    """
    if dialect == "sqlite":
        return _address_labels(dialect).c.label
    # PostgreSQL cannot estimate how many addresses a join would have, and compares each with each.
    return select(_label_map().c.labels).scalar_subquery().op("->>", return_type=Text())(ip)


def with_labels(dialect: str, source: FromClause, ip: ColumnElement[str]) -> FromClause:
    """Return a source to which `label_of` can be applied."""
    if dialect != "sqlite":
        return source
    labels = _address_labels(dialect)
    return source.outerjoin(labels, labels.c.ip == ip)


def has_label(dialect: str, ip: ColumnElement[str], *, is_unlabelled: bool) -> ColumnElement[bool]:
    """Return whether an address has the label of the parameter `is_label`, or has none; in any source."""
    value = parameter("is_label", Text)
    if dialect != "sqlite":
        label = label_of(dialect, ip)
        return label.is_(None) if is_unlabelled else label == value
    labels = _address_labels(dialect)
    return (
        ip.not_in(select(labels.c.ip)) if is_unlabelled else ip.in_(select(labels.c.ip).where(labels.c.label == value))
    )


@lru_cache(maxsize=2)
def label_values(names: LabelIndex) -> Mapping[str, str | bytes | None]:
    """Return the values of a statement with `address_labels`."""
    return {
        "label_ranges": json.dumps([(number, one.label) for number, one in enumerate(names.ranges)]),
        "label_keys": b"".join(one.first + one.last for one in names.ranges),
        "unknown_label": names.lookup(UNKNOWN),
    }


@lru_cache(maxsize=2)  # the same object in all parts of a statement
def _address_labels(dialect: str) -> CTE:
    """Return the addresses of the ledger that have a label, with it."""
    c = REQUEST_LOGS.c
    ranges = _ranges(dialect)
    is_known = select(ADDRESSES.c.ip).where(ADDRESSES.c.ip == c.ip).exists()
    # Few rows are above the watermark: `|| ''` keeps the planner from reading all of them in the order of the index.
    columns = c.ip.concat("").label("ip"), c.ip_key
    new = select(*columns).where(c.seq > parameter("folded", BIG), ~is_known).distinct().subquery("new_addresses")
    unknown = parameter("unknown_label", Text)
    parts = [
        *(
            select(addresses.c.ip, ranges.c.label).select_from(ranges.join(addresses, _within(addresses, ranges)))
            for addresses in (ADDRESSES, new)
        ),
        select(literal(UNKNOWN).label("ip"), unknown.label("label")).where(unknown.is_not(None)),
    ]
    return union_all(*parts).cte("address_labels").prefix_with("MATERIALIZED")


@lru_cache(maxsize=1)
def _label_map() -> CTE:
    """Return one JSON object of PostgreSQL with the label of each address that has one."""
    labels = _address_labels("postgresql")
    column = func.jsonb_object_agg(labels.c.ip, labels.c.label, type_=postgresql.JSONB).label("labels")
    return select(column).cte("label_map").prefix_with("MATERIALIZED")


def _ranges(dialect: str) -> CTE:
    """Return the ranges of keys that have a label. JSON has no bytes, so the keys are slices of one parameter."""
    numbered = listed(dialect, "label_ranges", {"number": Integer(), "label": TEXT})
    at = numbered.c.number * (2 * _KEY_BYTES) + 1
    keys = parameter("label_keys", LargeBinary)
    first, last = (
        func.substr(keys, at + offset, _KEY_BYTES, type_=LargeBinary).label(name)
        for name, offset in (("first", 0), ("last", _KEY_BYTES))
    )
    return select(first, last, numbered.c.label).cte("label_bounds").prefix_with("MATERIALIZED")


def _within(addresses: FromClause, ranges: CTE) -> ColumnElement[bool]:
    return and_(addresses.c.ip_key >= ranges.c.first, addresses.c.ip_key <= ranges.c.last)
