"""Statements that are built and compiled once, and run with other values each time.

Core builds a query of this size, and the key under which it caches its compiled form, in some milliseconds: longer than
SQLite takes to answer it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, Select, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

_DATA_CLASSES = ("22",)  # PostgreSQL's "data exception"
_DATA_CODES = (
    "23502",  # PostgreSQL: not_null_violation
    "23514",  # PostgreSQL: check_violation
    "54000",  # PostgreSQL: a text that is longer than what an index takes
)
_SQLITE_DATA_CODES = (
    sqlite3.SQLITE_CONSTRAINT_NOTNULL,
    sqlite3.SQLITE_CONSTRAINT_CHECK,
    sqlite3.SQLITE_CONSTRAINT | 12 << 8,  # SQLITE_CONSTRAINT_DATATYPE, for which the module has no name
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)


def parameter(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any]) -> BindParameter[Any]:
    """Return the place of a value that is given when the query runs."""
    return bindparam(name, type_=kind, required=False)


class Prepared:
    """A compiled query; its values are bound by the names of its `parameter`s."""

    def __init__(self, text: str, names: Sequence[str] | None, constants: Mapping[str, Any]) -> None:
        self._text = text
        self._names = names  # of positional parameters, in their order; None: parameters go by name
        self._constants = constants

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Run it within a transaction that has begun; values without a parameter are passed over.

        The driver is asked directly: Core's result describes each column anew, and takes longer than a small answer.

        Raises:
            The driver's own errors, as `driver_errors` names them.
        """
        known = {**values, **self._constants}
        given: Any = known if self._names is None else tuple(known[name] for name in self._names)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._text, given)
            return cursor.fetchall()
        finally:
            cursor.close()


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """Return what statements raise: through Core, and directly."""
    driver: Any = engine.dialect.dbapi
    return (DBAPIError, driver.Error)


def is_about_data(error: Exception) -> bool:
    """Return whether a statement failed because of a value that it was given: it would fail again with the same one.

    A connection, a lock, a disk, a right or a table that is not there is another matter.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return state[:2] in _DATA_CLASSES or state in _DATA_CODES
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return code in _SQLITE_DATA_CODES
    # Of a driver that cannot send it, and of Python: an integer beyond 64 bits, text that is no Unicode.
    is_named = "DataError" in (one.__name__ for one in type(cause).__mro__)
    return is_named or isinstance(cause, ArithmeticError | ValueError | TypeError)


def is_overflow(error: Exception) -> bool:
    """Return whether a statement came to an integer that the store cannot hold."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) == "22003" or str(cause) == "integer overflow"  # SQLite has no code for it


def prepare(dialect_name: str, query: Select[Any]) -> Prepared:
    """Compile a query for a dialect. Types that need converting on their way in or out must not be in it."""
    dialect: Dialect = sqlite.dialect() if dialect_name == "sqlite" else postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), compiled.positiontup, constants)
