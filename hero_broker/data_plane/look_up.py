"""Passes on requests that cost nothing, such as counts of tokens: they hold a slot, and have no row."""

from hero_broker.core.errors import ProviderBadAnswer
from hero_broker.data_plane.call_run import Services, read_error_body
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.relay import Item, Relay
from hero_broker.data_plane.responses import MAX_ERROR_BODY_BYTES, provider_error_as_sent, response_head
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.response import UpstreamResponse


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
    try:
        tail = await _response(services, call, reply, target.provider.api_keys)
    finally:
        reply.close()
    relay = Relay(client, services.limits.idle_s, lambda: None)
    if not relay.finish_at_once(tail):
        await relay.finish(tail)


async def _response(services: Services, call: ClientCall, reply: UpstreamResponse, keys: tuple[str, ...]) -> list[Item]:
    kind, max_bytes = call.kind, services.limits.max_answer_bytes
    if not 200 <= reply.status < 300 or reply.status == 204:
        body = await read_error_body(reply, MAX_ERROR_BODY_BYTES)
        return provider_error_as_sent(reply.status, reply.headers, body, keys, kind, call.context.request_id)
    whole = reply.take_whole(max_bytes)
    body = await reply.read_all(max_bytes) if whole is None else whole
    if not kind.report(body).is_object:
        raise ProviderBadAnswer("The provider's response cannot be parsed.")
    return [response_head(reply.status, reply.headers, str(len(body)), kind.response_headers), body]
