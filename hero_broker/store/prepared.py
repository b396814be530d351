"""Statements that are compiled once and run with different values each time; and the errors of drivers.

Core takes some milliseconds to build a query of this size and its cache key: longer than SQLite takes to answer it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, Insert, Select, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

# What a statement may raise because of a bound value: Core's errors, and what a driver or Python raises for a value
# that it cannot send, such as an integer beyond 64 bits or text that is not Unicode; see `is_about_data`.
DATA_ERRORS = (DBAPIError, ArithmeticError, ValueError, TypeError)
_DATA_CLASSES = ("22",)  # PostgreSQL's "data exception"
_DATA_CODES = (
    "23502",  # PostgreSQL: not_null_violation
    "23514",  # PostgreSQL: check_violation
    "54000",  # PostgreSQL: a text longer than an index accepts
)
_SQLITE_DATA_CODES = (
    sqlite3.SQLITE_CONSTRAINT_NOTNULL,
    sqlite3.SQLITE_CONSTRAINT_CHECK,
    sqlite3.SQLITE_CONSTRAINT | 12 << 8,  # SQLITE_CONSTRAINT_DATATYPE, which the module does not name
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)


def parameter(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any]) -> BindParameter[Any]:
    """Return a placeholder for a value that is bound when the query runs."""
    return bindparam(name, type_=kind, required=False)


class Prepared:
    """A compiled statement; its values are bound by the names of its `parameter`s."""

    def __init__(self, text: str, names: Sequence[str] | None, constants: Mapping[str, Any]) -> None:
        self._text = text
        self._names = names  # of positional parameters, in order; None: parameters are named
        self._constants = constants

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Run the query in the open transaction and return its rows; values without a parameter are ignored.

        Calls the driver directly: Core's result describes each column again, which takes longer than a small query.

        Raises:
            The driver's own errors; see `driver_errors`.
        """
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._text, self._parameters(values))
            return cursor.fetchall()
        finally:
            cursor.close()

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run a statement without a result in the open transaction; values without a parameter are ignored.

        Raises:
            DBAPIError: the driver's error.
        """
        connection.exec_driver_sql(self._text, self._parameters(values))

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement without a result for each of the rows in the open transaction.

        Raises:
            DBAPIError: the driver's error.
        """
        connection.exec_driver_sql(self._text, [self._parameters(values) for values in rows])

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        known = {**values, **self._constants}
        return known if self._names is None else tuple(known[name] for name in self._names)


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """Return the classes of errors that statements raise: through Core, and from the driver."""
    driver: Any = engine.dialect.dbapi
    return (DBAPIError, driver.Error)


def is_about_data(error: Exception) -> bool:
    """Return whether a statement failed because of a bound value, and would fail again with the same value.

    False for failures of a connection, a lock, a disk, a permission or a missing table.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return state[:2] in _DATA_CLASSES or state in _DATA_CODES
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return code in _SQLITE_DATA_CODES
    is_named = "DataError" in (one.__name__ for one in type(cause).__mro__)
    return is_named or isinstance(cause, ArithmeticError | ValueError | TypeError)


def is_overflow(error: Exception) -> bool:
    """Return whether a statement computed an integer that the store cannot hold."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) == "22003" or str(cause) == "integer overflow"  # SQLite has no code for it


def prepare(dialect_name: str, query: Select[Any] | Insert) -> Prepared:
    """Compile a statement for a dialect. It must not contain types that convert parameters or results."""
    dialect: Dialect = sqlite.dialect() if dialect_name == "sqlite" else postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), compiled.positiontup, constants)
