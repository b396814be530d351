"""The methods of `openrpc.json` by name, and the one way to call them; RPC and REST call the same."""

from asyncio import to_thread
from collections.abc import Mapping
from typing import Any

import msgspec

from hero_broker.admin_plane import billing, cursors, focus, labels, limits, models, own, prices, providers, system
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.method import AdminMethod
from hero_broker.core.calls import Caller

SUBJECTS = (billing, own, focus, models, prices, providers, labels, limits, system)

METHODS: Mapping[str, AdminMethod[...]] = {
    member.name: member for subject in SUBJECTS for member in vars(subject).values() if isinstance(member, AdminMethod)
}


async def dispatch(
    admin: Admin, contract: Contract, method: str, params: list[Any] | dict[str, Any], caller: Caller
) -> bytes:
    """Check parameters by the contract and answer, in JSON. `caller` is whom methods of the caller's own usage serve.

    Encoding runs in a thread: a result of thousands of rows would block every call meanwhile.

    Raises:
        QueryError: the query failed; `errors.codes` has its JSON-RPC code and HTTP status.
    """
    is_later_page = isinstance(params, dict) and params.get("cursor") is not None
    given = contract.arguments(method, params, may_lack=is_later_page)  # the cursor has them all
    arguments = cursors.resume(contract, method, given)
    called = METHODS[method]
    answer = called(admin, caller, **arguments) if called.is_own else called(admin, **arguments)
    return await to_thread(msgspec.json.encode, await answer)
