"""`hero-broker rpc`: calls any method of the contract, with parameters as a shell can give them."""

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
            help="For example billing.usage_by_ip; rpc.discover describes all methods.",
            autocompletion=lambda: list(_contract().methods),
        ),
    ],
    params: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...", help="Arrays with commas; members of an object as NAME.MEMBER=VALUE."
        ),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Call a method of the admin plane and print its result, as JSON."""
    named = parse_params(method, params or ())
    with open_backend(url, token, database, options={}) as backend:
        write_json(backend.call_raw(method, named))


def parse_params(method: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return parameters by name, with the contract's types; the broker checks them.

    Raises:
        typer.BadParameter: a parameter is not NAME=VALUE, or is given twice.
    """
    params: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        param, dot, member = name.partition(".")
        container = params.setdefault(param, {}) if dot else params
        key = member if dot else name
        if not equals or not key or not isinstance(container, dict) or key in container:
            raise typer.BadParameter(f"{text!r} must be NAME=VALUE, with each NAME given once", param_hint="NAME=VALUE")
        container[key] = value if dot else _value(_param_type(method, name), value)
    return params


def _param_type(method: str, name: str) -> str:
    contract = _contract()
    return contract.param_type(method, name) if method in contract.methods else ""


def _value(json_type: str, text: str) -> Any:
    """Convert `text` to the JSON type `json_type`; if that fails, return it unchanged: the broker names the fault."""
    if json_type == "string":
        return text
    if json_type == "array" and not text.startswith("["):
        return text.split(",") if text else []
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
