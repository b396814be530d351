"""Explains database errors in a public phrase: with SQLSTATE or SQLite's name of the error, without names and rows."""

import re

from sqlalchemy.exc import DBAPIError

# Messages of libpq and the server for a failed connection; they come without SQLSTATE. If one is given here, it is that
# of the server's message. The first match counts.
_CONNECTING = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (r"password authentication failed|no password supplied", "wrong user or password (SQLSTATE 28P01)"),
        (r'database ".*" does not exist', "no such database (SQLSTATE 3D000)"),
        (r'role ".*" does not exist', "no such user (SQLSTATE 28000)"),
        (r"pg_hba\.conf", "the server does not admit this user from this host (SQLSTATE 28000)"),
        (r"too many (clients|connections)|connection slots", "the server has no free connection (SQLSTATE 53300)"),
        (r"starting up|shutting down|recovery mode", "the server is starting or stopping (SQLSTATE 57P03)"),
        (r"\bSSL\b|\bTLS\b|certificate", "TLS with the server failed"),
        (
            r"translate host name|name or service|name resolution|resolve host|no address associated",
            "DNS does not know the server's host name",
        ),
        (r"connection refused", "the connection was refused: no server listens there"),
        (r"no such file or directory", "the server's socket does not exist"),
        (r"no route to host|network is unreachable", "there is no route to the server"),
        (r"query_wait_timeout|server login|server_login", "the pooler has no connection to the server"),
        (r"timeout expired|timed out", "the server did not answer in time"),
        (r"closed the connection|connection is closed|connection reset|connection is lost", "the connection was lost"),
    )
)


def cause_of(error: Exception) -> str:
    """Return why a statement or a connection failed, as a public phrase."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    name = type(cause).__name__
    if sqlstate := getattr(cause, "sqlstate", None):
        return f"{name} (SQLSTATE {sqlstate})"
    if errorname := getattr(cause, "sqlite_errorname", None):
        return str(errorname)
    text = str(cause)
    return next((sentence for pattern, sentence in _CONNECTING if pattern.search(text)), name)
