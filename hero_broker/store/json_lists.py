"""Lists of tuples as tables: each list is one JSON parameter, so that a statement stays the same for any length."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, cast, func, literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import CTE
from sqlalchemy.types import TypeEngine

from hero_broker.store.prepared import parameter

INTEGER, TEXT = BigInteger(), Text()


def listed(dialect: str, name: str, fields: Mapping[str, TypeEngine[Any]]) -> CTE:
    """Return the parameter `name`, a JSON array of arrays, as a table with these fields."""
    text = parameter(name, Text)
    values: list[ColumnElement[Any]]
    if dialect == "sqlite":
        each = func.json_each(text).table_valued("value", name=f"each_{name}")
        values = [func.json_extract(each.c.value, literal(f"$[{at}]")) for at in range(len(fields))]
    else:
        each = func.jsonb_array_elements(cast(text, postgresql.JSONB)).table_valued("value", name=f"each_{name}")
        texts = [each.c.value.op("->>")(cast(at, Integer)) for at in range(len(fields))]
        values = [cast(one, kind) for one, kind in zip(texts, fields.values(), strict=True)]
    columns = [value.label(field) for field, value in zip(fields, values, strict=True)]
    # Materialised, or SQLite reads the table that is joined first and this list once for each of its rows.
    return select(*columns).select_from(each).cte(name).prefix_with("MATERIALIZED")
