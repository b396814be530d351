"""Cancels statements that run too long, so that no query holds a snapshot or a thread without limit."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hero_broker.core.errors import TooWide
from hero_broker.store.prepared import driver_errors

_STEPS = 100_000  # of SQLite's virtual machine between two checks of the clock; some milliseconds
_CANCELLED = "57014"  # PostgreSQL's code of a statement that reached its timeout


@contextmanager
def time_limit(connection: Connection, deadline_s: float | None) -> Iterator[None]:
    """Limit the time of all statements in the block together (SQLite) or of each (PostgreSQL); None: no limit.

    Raises:
        TooWide: a statement was cancelled at the limit.
    """
    if deadline_s is None:
        yield
        return
    driver = connection.connection.driver_connection
    ends_at = time.monotonic() + deadline_s
    if isinstance(driver, sqlite3.Connection):
        driver.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
    else:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(deadline_s * 1000)}")
    try:
        yield
    except driver_errors(connection.engine) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        if code in (_CANCELLED, "SQLITE_INTERRUPT"):
            raise TooWide(
                f"The query took longer than {deadline_s:g} s: set a narrower window with since and until"
            ) from error
        raise
    finally:
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(None, 0)


def cancel(connection: Connection, within_s: float) -> bool:
    """Cancel the statement that another thread runs on a connection; it raises there.

    Returns False if the server did not take the cancel within `within_s` seconds, or libpq is older than 17: its cancel
    has no limit, and no thread of the process runs while it waits.
    """
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.interrupt()
    elif driver is not None:
        psycopg: Any = connection.dialect.dbapi
        if not psycopg.capabilities.has_cancel_safe():
            return False
        try:
            driver.cancel_safe(timeout=within_s)
        except driver_errors(connection.engine):
            return False
    return True
