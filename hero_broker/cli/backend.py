"""Connects commands to a running broker or to a ledger's database, and reports failures to do so."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import typer

from hero_broker.admin_plane.errors import CODES, rpc_error
from hero_broker.admin_plane.method import NeedsBroker
from hero_broker.cli.exit_codes import CANNOT_START, FAILED, WRONG_USE
from hero_broker.cli.notices import warn
from hero_broker.cli.settings_options import reported_faults
from hero_broker.client import DEFAULT_URL, BrokerUnreachable, Client, ClientError, Query, RpcError
from hero_broker.client.jsonrpc import URL_FORMS, base_url
from hero_broker.core.errors import DatabaseUnusable, InvalidParams, QueryError, TooWide
from hero_broker.settings import UnixListen, listens_of
from hero_broker.settings import ledger_url as absolute_url

TIMEOUT_S = 3600.0  # a verification reads every row

# The contract's parameters → what a user of a command gives for them.
OPTIONS: Mapping[str, str] = {
    "since": "--since",
    "until": "--until",
    "group_by": "--by",
    "bucket": "--by",
    "filter": "--where",
    "limit": "--limit",
    "tz": "--tz",
    "ip": "IP",
    "target": "TARGET",
    "label": "LABEL",
}
_BOUNDS = re.compile(r"(?<!-)\b(?:since|until)\b")

Answer = TypeVar("Answer")

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="HERO_BROKER_URL",
        help="URL of the running broker, or unix:PATH; by default the address in the settings file.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar=["ADMIN_TOKEN", "HERO_SECRET"],
        show_envvar=True,
        help="The broker's admin token.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="Read this ledger instead, without a broker; relative to the state directory."),
]


class Backend(Protocol):
    """Answers the contract's queries: a broker, or a ledger without its broker."""

    def call(self, query: Query[Answer], /) -> Answer:
        """Return the query's result, typed."""
        ...

    def call_raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return a method's result, as JSON."""
        ...


class _RawLedger(Protocol):
    """The queries of a ledger without its broker; see `cli.local_ledger`."""

    def call_raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return a method's result, as JSON."""
        ...


class _LedgerBackend:
    """A backend that reads a ledger without its broker."""

    def __init__(self, ledger: _RawLedger) -> None:
        self._ledger = ledger

    def call(self, query: Query[Answer], /) -> Answer:
        return msgspec.json.decode(self.call_raw(query.method, query.params), type=query.answer)

    def call_raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        try:
            return self._ledger.call_raw(method, params)
        except QueryError as error:
            code, message, data = rpc_error(error)
            raise RpcError(code, message, **data) from error


@contextmanager
def open_backend(
    url: str | None = None,
    token: str | None = None,
    database: str | None = None,
    options: Mapping[str, str] = OPTIONS,
) -> Iterator[Backend]:
    """Yield a backend; if a query fails in the block, end the command with a message.

    The message has the command's `options` for the parameters that the broker names.

    Exit codes: 1 if the broker does not answer or refuses, 2 if a parameter is invalid or the method needs a broker, 3
    if the ledger cannot be opened.
    """
    try:
        if database is None:
            with Client(broker_url(url), token.strip() or None if token else None, timeout_s=TIMEOUT_S) as client:
                yield client
        else:
            # Imported here: most commands query a broker, and start in half the time without the database libraries.
            absolute = ledger_url(database)
            warn(f"reading {redact_url(absolute)}")
            from hero_broker.cli.local_ledger import open_ledger

            with open_ledger(absolute) as ledger:
                yield _LedgerBackend(ledger)
    except RpcError as error:
        warn(_explain(error, options, has_token=bool(token and token.strip())))
        raise typer.Exit(WRONG_USE if error.code == CODES[InvalidParams].rpc else FAILED) from error
    except ClientError as error:
        warn(f"{error}{_hint(error)}")
        raise typer.Exit(FAILED) from error
    except NeedsBroker as error:
        warn(f"{error}")
        raise typer.Exit(WRONG_USE) from error
    except DatabaseUnusable as error:
        warn(f"{error}")
        raise typer.Exit(CANNOT_START) from error


def broker_url(url: str | None) -> str:
    """Return `url`, or the URL of a broker with the settings of this directory.

    End the command with 2 if `url` is no URL of a broker, or if the settings are wrong.
    """
    if url is not None:
        try:
            base_url(url)
        except ValueError as error:
            warn(f"--url (or HERO_BROKER_URL) must be {URL_FORMS}")
            raise typer.Exit(WRONG_USE) from error
        return url
    with reported_faults():
        for listen in listens_of(os.environ):
            if isinstance(listen, UnixListen):
                return f"unix:{listen.path}"
            if listen.port:  # port 0 means that the system chose one, unknown here
                host = "127.0.0.1" if listen.host in ("0.0.0.0", "::") else listen.host  # noqa: S104
                return f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"
    return DEFAULT_URL


def ledger_url(database: str) -> str:
    """Return the absolute URL of a ledger; a relative SQLite file is in the state directory."""
    with reported_faults():
        return absolute_url(database, os.environ)


def redact_url(url: str) -> str:
    """Return the URL of a ledger without its password, and without its options, which may contain one."""
    bare = url.partition("?")[0]
    password = urlsplit(bare).password
    return bare if password is None else bare.replace(f":{password}@", ":***@", 1)


def _hint(error: ClientError) -> str:
    """Return the likely reason why no broker answers, and the option to change; empty for other errors."""
    if not isinstance(error, BrokerUnreachable) or error.__cause__ is None:  # without a cause, something answered
        return ""
    if isinstance(error.__cause__, httpx.ConnectError):
        return ". Is the broker running? Start it with `hero-broker serve`, or name its address with --url"
    return ". Is it a broker that listens there? Name another address with --url"


def _explain(error: RpcError, options: Mapping[str, str], *, has_token: bool) -> str:
    if error.code == -32001:
        if has_token:
            return "The admin token is wrong: compare --token or ADMIN_TOKEN with the broker's."
        return "The broker needs its admin token: pass --token, or set ADMIN_TOKEN."
    if error.code == -32601:
        return error.reason or "The broker has no such method; `hero-broker rpc rpc.discover` describes its methods."
    if error.code == CODES[TooWide].rpc and "until" in options:
        return f"{_with_options(str(error), options)}; or --month this"
    if error.param is not None and error.param in options:
        return f"{options[error.param]} {_with_options(error.reason or error.message, options)}"
    return _with_options(str(error), options)


def _with_options(message: str, options: Mapping[str, str]) -> str:
    """Return a message of the broker with the options of a window's bounds, the only parameters that texts name."""
    return _BOUNDS.sub(lambda name: options.get(name[0], name[0]), message)
