"""`hero-broker rpc`: any method of the contract, with parameters as people type them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import typer

from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.cli.backend import DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.printing import write_json

EXAMPLES = """Examples:

hero-broker rpc billing.usage_by_ip since=1700000000 limit=10

hero-broker rpc billing.usage group_by=ip,model bucket=day filter.provider=groq

hero-broker rpc billing.usage 'filter={"kind": "chat"}' group_by=model

hero-broker rpc rpc.discover > openrpc.json"""


@lru_cache(maxsize=1)
def _contract() -> Contract:
    return Contract(load_document())


def rpc(
    method: Annotated[
        str,
        typer.Argument(
            help="Such as billing.usage_by_ip; rpc.discover describes all.",
            autocompletion=lambda: list(_contract().methods),
        ),
    ],
    params: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Lists with commas; members of an object as NAME.MEMBER=VALUE."),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Call a method of the admin plane and print its result, as JSON."""
    given = parse_params(method, params or ())
    with open_backend(url, token, database) as asker:
        try:
            write_json(asker.call_raw(method, given))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="METHOD") from error


def parse_params(method: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return parameters by name, as the types that the contract says; the broker checks them.

    Raises:
        typer.BadParameter: one is not NAME=VALUE, or stands twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        param, dot, member = name.partition(".")
        inside = found.setdefault(param, {}) if dot else found
        key = member if dot else name
        if not equals or not key or not isinstance(inside, dict) or key in inside:
            raise typer.BadParameter(f"{text!r} must be NAME=VALUE, each once", param_hint="NAME=VALUE")
        inside[key] = value if dot else _value(_kind(method, name), value)
    return found


def _kind(method: str, name: str) -> str:
    contract = _contract()
    return contract.param_type(method, name) if method in contract.methods else ""


def _value(kind: str, text: str) -> Any:
    """Return a text as the type that is wanted; as it is where it does not look like one: the broker says what is."""
    if kind == "string":
        return text
    if kind == "array" and not text.startswith("["):
        return text.split(",") if text else []
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
