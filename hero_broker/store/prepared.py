"""Statements that are built and compiled once, and run with other values each time.

Core builds a query of this size, and the key under which it caches its compiled form, in some milliseconds: longer than
SQLite takes to answer it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, Row
from sqlalchemy.types import TypeEngine


def value_of(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any]) -> BindParameter[Any]:
    """Return the place of a value that is given when the query runs."""
    return bindparam(name, type_=kind, required=False)


class Prepared:
    """A compiled query; its values are bound by the names of its `value_of`s."""

    def __init__(self, text: str, names: Sequence[str] | None, constants: Mapping[str, Any]) -> None:
        self._text = text
        self._names = names  # of positional parameters, in their order; None: parameters go by name
        self._constants = constants

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Run it and return all rows; values without a parameter are passed over."""
        known = {**values, **self._constants}
        given: Any = known if self._names is None else tuple(known[name] for name in self._names)
        return connection.exec_driver_sql(self._text, given).all()


def prepare(dialect_name: str, query: Select[Any]) -> Prepared:
    """Compile a query for a dialect. Types that need converting on their way in or out must not be in it."""
    dialect: Dialect = sqlite.dialect() if dialect_name == "sqlite" else postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), compiled.positiontup, constants)
