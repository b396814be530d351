"""Passes on requests that cost nothing, such as counts of tokens: they hold a slot, and have no row."""

import msgspec

from hero_broker.core.errors import ProviderBadAnswer
from hero_broker.data_plane.call_run import Services, read_error_body
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.relay import Item, Relay, ResponseHead
from hero_broker.data_plane.responses import MAX_ERROR_BODY_BYTES, provider_error_as_sent, response_head
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.kind import Kind
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.response import UpstreamResponse


class EmptyLookUp(msgspec.Struct, frozen=True):
    """A look-up without a body: a request about a stored response."""

    context: RequestContext
    kind: Kind
    method: str
    path: str  # below the provider's base URL
    query: str  # of the provider's URL, with its "?"; empty without one
    wants_body: bool = True  # else only the head of the response is sent


class _Sent:
    """What was sent of a look-up; nobody asks for it afterwards."""

    is_sent = False
    attempts = 1
    may_retry = True


async def answer_look_up(services: Services, call: ClientCall, route: Route, client: ResponseChannel) -> None:
    """Send a look-up to the first target of a route, and respond with the provider's answer.

    Raises:
        ProviderError: the provider could not be reached or did not answer; nothing was sent to the client.
    """
    target = route.targets[0]
    attempt = call.attempt(route, target)
    reply = await services.upstream.post(
        target.provider, attempt.url, attempt.headers, attempt.body, _Sent(), is_stream=False
    )
    tail = await _response(services, call.kind, call.context.request_id, reply, target.provider.api_keys)
    await _respond(services, client, tail)


async def answer_empty_look_up(
    services: Services, look_up: EmptyLookUp, provider: Provider, client: ResponseChannel
) -> bool:
    """Send a look-up without a body, as `answer_look_up` does; return whether the provider did what it asks for.

    The provider must be as `Provider.with_key` returns it.

    Raises:
        ProviderError: the provider could not be reached or did not answer; nothing was sent to the client.
    """
    context = look_up.context
    url = provider.base_url + look_up.path + look_up.query
    reply = await services.upstream.send_empty(provider, look_up.method, url, context.headers, _Sent())
    is_done = 200 <= reply.status < 300
    tail = await _response(services, look_up.kind, context.request_id, reply, provider.api_keys)
    if not look_up.wants_body:  # its length stays in the head
        tail = [item if isinstance(item, ResponseHead) else b"" for item in tail]
    await _respond(services, client, tail)
    return is_done


async def _respond(services: Services, client: ResponseChannel, tail: list[Item]) -> None:
    relay = Relay(client, services.limits.idle_s, lambda: None)
    if not relay.finish_at_once(tail):
        await relay.finish(tail)


async def _response(
    services: Services, kind: Kind, request_id: str, reply: UpstreamResponse, keys: tuple[str, ...]
) -> list[Item]:
    """Return the response for the client, and close the provider's."""
    max_bytes = services.limits.max_answer_bytes
    try:
        if not 200 <= reply.status < 300 or reply.status == 204:
            body = await read_error_body(reply, MAX_ERROR_BODY_BYTES)
            return provider_error_as_sent(reply.status, reply.headers, body, keys, kind, request_id)
        whole = reply.take_whole(max_bytes)
        body = await reply.read_all(max_bytes) if whole is None else whole
    finally:
        reply.close()
    if not kind.report(body).is_object:
        raise ProviderBadAnswer("The provider's response cannot be parsed.")
    return [response_head(reply.status, reply.headers, str(len(body)), kind.response_headers), body]
