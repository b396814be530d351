"""Calls of every wire to the fake provider, whole and streamed; each costs the same."""

from itertools import product

import httpx

from tests.e2e_support import chat

COST = 25_970  # nano-USD: of 40 tokens in and 3 out
LAST_EVENTS = {  # what the last event of a whole stream has
    "/v1/chat/completions": "data: [DONE]",
    "/v1/messages": "event: message_stop",
    "/v1/responses": "event: response.completed",
}
_TEXT = " ".join(["word"] * 40)
_BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": chat(),
    "/v1/messages": {"model": "fake-chat", "max_tokens": 99, "messages": [{"role": "user", "content": _TEXT}]},
    "/v1/responses": {"model": "fake-chat", "input": _TEXT},
}
_EACH = tuple(product((False, True), _BODIES))


def make_call(client: httpx.Client, number: int) -> httpx.Response:
    """Make a call: the wires come in turn, whole and streamed."""
    is_stream, path = _EACH[number % len(_EACH)]
    return client.post(path, json={**_BODIES[path], "stream": is_stream})


def is_answered(response: httpx.Response) -> bool:
    """Return whether a call was answered to its end."""
    if response.status_code != 200 or response.headers["content-type"] == "application/json":
        return response.status_code == 200
    *_, last, after = response.text.split("\n\n")
    return last.startswith(LAST_EVENTS[response.request.url.path]) and not after
