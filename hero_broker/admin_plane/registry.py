"""The methods of `openrpc.json` by name, and the one way to call them; RPC and REST call the same."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from hero_broker.admin_plane import billing, cursors, labels, models, providers, system
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract

Method = Callable[..., Awaitable[dict[str, object]]]

METHODS: Mapping[str, Method] = {
    "rpc.discover": system.discover,
    "billing.usage_by_ip": billing.usage_by_ip,
    "billing.usage_for_ip": billing.usage_for_ip,
    "billing.usage": billing.usage,
    "billing.requests": billing.requests,
    "billing.request": billing.request,
    "billing.unbilled": billing.unbilled,
    "billing.mark_billed": billing.mark_billed,
    "billing.periods": billing.periods,
    "billing.verify": billing.verify,
    "billing.rebuild": billing.rebuild,
    "models.list": models.list_models,
    "providers.list": providers.list_providers,
    "labels.set": labels.set_label,
    "labels.list": labels.list_labels,
    "labels.remove": labels.remove_label,
    "system.health": system.health,
    "system.info": system.info,
}


async def dispatch(admin: Admin, contract: Contract, method: str, params: list[Any] | dict[str, Any]) -> bytes:
    """Check parameters by the contract and answer, in JSON.

    Encoding runs in a thread: a result of thousands of rows would block every call meanwhile.

    Raises:
        QueryError: the query failed; `errors.codes` has its JSON-RPC code and HTTP status.
    """
    arguments = cursors.resume(contract, method, contract.arguments(method, params))
    return await to_thread(msgspec.json.encode, await METHODS[method](admin, **arguments))
