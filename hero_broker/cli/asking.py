"""Whom commands ask: a running broker, or a ledger's database; and what is said when that fails."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
import typer

from hero_broker.cli.exits import CANNOT_START, FAILED, WRONG_USE
from hero_broker.cli.printing import warn
from hero_broker.client import DEFAULT_URL, Client, ClientError, Question, RpcError
from hero_broker.core.errors import AdminError, DatabaseUnusable, InvalidParams
from hero_broker.settings import SettingsError, load

TIMEOUT_S = 3600.0  # a verification reads every row

Answer = TypeVar("Answer")

UrlOption = Annotated[
    str, typer.Option("--url", envvar="HERO_BROKER_URL", help="The running broker; unix:PATH for a socket.")
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


class Asker(Protocol):
    """Who answers questions."""

    def ask(self, question: Question[Answer]) -> Answer:
        """Return a question's answer, typed."""
        ...

    def raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return a method's result, as JSON."""
        ...


class _Ledger(Protocol):
    """What a ledger answers without its broker; see `offline`."""

    def raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return a method's result, as JSON."""
        ...


class _Database:
    """A ledger that is read without its broker."""

    def __init__(self, ledger: _Ledger) -> None:
        self._ledger = ledger

    def ask(self, question: Question[Answer]) -> Answer:
        return msgspec.json.decode(self.raw(question.method, question.params), type=question.answer)

    def raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        try:
            return self._ledger.raw(method, params)
        except InvalidParams as error:
            raise RpcError(error.rpc_code, error.message, param=error.param, reason=error.reason) from error
        except AdminError as error:
            raise RpcError(error.rpc_code, error.message) from error


@contextmanager
def asking(url: str = DEFAULT_URL, token: str | None = None, database: str | None = None) -> Iterator[Asker]:
    """Yield who answers; end the command with a message where nobody does.

    Exit codes: 1 for a broker that does not answer or refuses, 2 for a bad parameter, 3 for a ledger that cannot be
    opened.
    """
    try:
        if database is None:
            with Client(url, token.strip() or None if token else None, timeout_s=TIMEOUT_S) as client:
                yield client
        else:
            # Imported now: most commands ask a broker, and start in half the time without the database's libraries.
            with import_module("hero_broker.offline").reading(ledger_url(database)) as ledger:
                yield _Database(ledger)
    except RpcError as error:
        warn(_explained(error, has_token=bool(token and token.strip())))
        raise typer.Exit(WRONG_USE if error.code == InvalidParams.rpc_code else FAILED) from error
    except ClientError as error:
        warn(f"{error}")
        raise typer.Exit(FAILED) from error
    except DatabaseUnusable as error:
        warn(f"{error}")
        raise typer.Exit(CANNOT_START) from error


def ledger_url(database: str) -> str:
    """Return the absolute URL of a ledger, a relative SQLite file placed in the state directory."""
    try:
        return load(config=None, environ=os.environ, database=database).database_url_absolute
    except SettingsError as error:
        for fault in error.faults:
            warn(f"{fault.key}: {fault.problem}")
        raise typer.Exit(WRONG_USE) from error


def _explained(error: RpcError, *, has_token: bool) -> str:
    if error.code == -32001:
        if has_token:
            return "The admin token is wrong: compare --token or ADMIN_TOKEN with the broker's."
        return "The broker wants its admin token: give --token, or set ADMIN_TOKEN."
    if error.code == -32601:
        return "The broker has no such method; `hero-broker rpc rpc.discover` describes those that it has."
    return str(error)
