"""Finds the responses that providers keep for their caller, and for each the one provider and key that have it.

A response belongs to the caller that made the call: to its key, else to its address.
For everybody else it does not exist.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import msgspec

from hero_broker.core.calls import Caller, ResponseStorage
from hero_broker.core.errors import InvalidRequest, ModelNotFound, NotFound
from hero_broker.core.records import RESPONSE_ID, StoredResponse, owner_of
from hero_broker.core.usage import BYTES_PER_TOKEN
from hero_broker.kinds.kind import Kind, Request
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes

PREVIOUS = "previous_response_id"
PREVIOUS_NOT_FOUND = "previous_response_not_found"  # OpenAI's; clients then send the whole history
WHOLE_HISTORY = "Send the whole history in 'input'."
MAX_NAMED = 100  # characters of an id or a model, in a message


class ResponseDirectory(Protocol):
    """Who may refer to which stored response; see `reports.stored_responses`."""

    async def find(self, response_id: str, owner: str) -> StoredResponse | None:
        """Return an owner's stored response; None if it has none of this id.

        Raises:
            LedgerUnavailable: the store does not answer in time.
        """
        ...

    def remove(self, response_id: str, owner: str) -> None:
        """Forget a stored response."""
        ...


class StoredResponses:
    """The stored responses of callers, with the routes that lead to them."""

    def __init__(self, directory: ResponseDirectory, routes: Routes) -> None:
        self._directory = directory
        self._routes = routes

    async def continued(self, request: Request, kind: Kind, caller: Caller) -> tuple[Request, Route]:
        """Return a request that names a previous response, with its model and context, and the route that it takes.

        The route has one target: the provider, and the key, that keep the response. If another provider serves the
        model that the request names, the request is refused: clients then send the whole history, which goes there.

        Raises:
            InvalidRequest: the caller has no such response, or it cannot be continued with the model.
            ModelNotFound: no model has the name that the request has.
            LedgerUnavailable: the store does not answer in time.
        """
        storage = request.storage or ResponseStorage()
        name = storage.previous or ""
        stored = await self._find(name, caller)
        if request.model:
            self._routes.find(request.model, kind.name)
        if stored is None:
            raise _not_continued(f"Previous response with id {name[:MAX_NAMED]!r} not found.")
        model = request.model or stored.model
        route = self._route(stored, model, kind)
        if route is None:
            raise _not_continued(
                f"Previous response with id {name[:MAX_NAMED]!r} not found at a provider of the model "
                f"{model[:MAX_NAMED]!r}: another provider keeps it, or its provider or key is gone from the settings."
            )
        read_before = stored.tokens * BYTES_PER_TOKEN
        request = msgspec.structs.replace(
            request,
            model=model,
            input_bytes=request.input_bytes + read_before,
            storage=msgspec.structs.replace(storage, context_tokens=stored.tokens),
        )
        return request, route

    async def keeper(self, response_id: str, kind: Kind, caller: Caller) -> tuple[Provider, str]:
        """Return the provider that keeps a response of the caller, with the key that made it alone, and its model.

        Raises:
            NotFound: the caller has no such response, or its provider or key is gone from the settings.
            LedgerUnavailable: the store does not answer in time.
        """
        stored = await self._find(response_id, caller)
        provider = None if stored is None else self._provider(stored, kind)
        if stored is None or provider is None:
            raise NotFound(f"Response with id {response_id[:MAX_NAMED]!r} not found.")
        return provider, stored.model

    def remove(self, response_id: str, caller: Caller) -> None:
        """Forget a response of the caller, which its provider has deleted."""
        self._directory.remove(response_id, owner_of(None, caller.ip))

    async def _find(self, response_id: str, caller: Caller) -> StoredResponse | None:
        if not RESPONSE_ID.fullmatch(response_id):  # no stored response has such an id
            return None
        return await self._directory.find(response_id, owner_of(None, caller.ip))

    def _provider(self, stored: StoredResponse, kind: Kind) -> Provider | None:
        """Return the provider that keeps a response, with its key alone; None if it cannot be reached so now."""
        for provider in self._routes.every_provider:
            if provider.name == stored.provider:
                reached = provider.over(kind.wire)
                return None if reached is None else reached.with_key(stored.provider_key)
        return None

    def _route(self, stored: StoredResponse, model: str, kind: Kind) -> Route | None:
        """Return the route of a model to the provider and the key that keep a response; None if there is none now."""
        for name in (model, f"{stored.provider}/{model}"):
            with suppress(ModelNotFound):
                route = self._routes.find(name, kind.name)
                for target in route.targets:
                    if target.provider.name == stored.provider:
                        provider = target.provider.with_key(stored.provider_key)
                        if provider is None:
                            return None
                        return replace(route, targets=(replace(target, provider=provider),))
        return None


def _not_continued(message: str) -> InvalidRequest:
    return InvalidRequest(f"{message} {WHOLE_HISTORY}", param=PREVIOUS, code=PREVIOUS_NOT_FOUND)
