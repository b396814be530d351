"""Fake Responses: the reply echoes the last words, or calls the tool that `tool_choice` requires."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.kind import STORED_ID
from hero_broker.providers.fake.echo import echo
from hero_broker.providers.fake.fake_kind import TEXT_PRICE, FakeKind
from hero_broker.providers.fake.wire import json_response, named_event_stream, read_body, response_id

_TOOL_TOKENS = 2  # the tool's name and its arguments
_COMPACT = "/compact"
_MAX_KEPT = 1_000  # responses


class _Part(msgspec.Struct):
    text: str | None = None


class _Item(msgspec.Struct):
    content: str | list[_Part] | None = None
    output: str | list[_Part] | None = None  # of a tool's result


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None


class _CountBody(msgspec.Struct):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    previous_response_id: str | None = None

    def words(self) -> list[str]:
        words = (self.instructions or "").split()
        if isinstance(self.input, str):
            return [*words, *self.input.split()]
        return [*words, *(word for item in self.input for part in (item.content, item.output) for word in _words(part))]


class _ResponsesBody(_CountBody, kw_only=True):
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream: bool | None = None
    store: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A response that can be retrieved and continued."""

    response: dict[str, object]
    input_items: list[dict[str, object]]
    words: list[str]  # of the conversation up to its end


class KeptResponses:
    """The latest responses of a fake provider, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def keep(self, kept: _Kept) -> None:
        """Keep a response; the oldest is forgotten if there are too many."""
        self._kept[str(kept.response["id"])] = kept
        while len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]

    def get(self, response_id: str) -> _Kept | None:
        """Return a response; None if none of this id is kept."""
        return self._kept.get(response_id)

    def delete(self, response_id: str) -> None:
        """Forget a response."""
        del self._kept[response_id]


def _words(content: str | list[_Part] | None) -> list[str]:
    if isinstance(content, str):
        return content.split()
    return [word for part in content or () for word in (part.text or "").split()]


async def answer_responses(request: Request) -> Response:
    """Answer `POST /v1/responses` and `/v1/responses/compact`; usage is the words of the input and of the reply.

    The conversation up to the previous response is part of the input.
    """
    body = await read_body(request, _ResponsesBody)
    response = await response_id(request, "resp_")
    words = _context(request, body) + body.words()
    if request.url.path.endswith(_COMPACT):
        item: dict[str, object] = {
            "type": "compaction",
            "id": f"cmp_{response}",
            "encrypted_content": " ".join(words[-1:]),
        }
        compaction = {"id": response, "object": "response.compaction", "created_at": 0, "output": [item]}
        return json_response({**compaction, "usage": _usage(len(words), len(words[-1:]))})
    tool = _tool_to_call(body)
    if tool is not None:
        call = {"type": "function_call", "id": f"fc_{response}", "call_id": f"call_{response}", "name": tool}
        item, pieces, tokens, is_cut = {**call, "arguments": "{}", "status": "completed"}, ["{}"], _TOOL_TOKENS, False
    else:
        reply = echo(words, body.max_output_tokens)
        pieces, tokens, is_cut = reply.pieces, len(reply.words), reply.finish_reason == "length"
        part: dict[str, object] = {"type": "output_text", "text": reply.text, "annotations": []}
        item = {"type": "message", "id": f"msg_{response}", "role": "assistant", "content": [part]}
        item["status"] = "incomplete" if is_cut else "completed"
    begun: dict[str, object] = {
        "id": response,
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": True,
        "service_tier": "default",
        "tool_choice": body.tool_choice or "auto",
        "tools": [],
        "usage": None,
    }
    ended = {
        **begun,
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [item],
        "usage": _usage(len(words), tokens),
    }
    if body.store is not False:
        _responses(request).keep(_Kept(ended, _input_items(response, body), words + "".join(pieces).split()))
    if not body.stream:
        return json_response(ended)
    events = _events(begun, ended, item, pieces)
    return named_event_stream({**event, "sequence_number": number} for number, event in enumerate(events))


async def count_input_tokens(request: Request) -> Response:
    """Answer `POST /v1/responses/input_tokens`: the words of the input."""
    body = await read_body(request, _CountBody)
    words = _context(request, body) + body.words()
    return json_response({"object": "response.input_tokens", "input_tokens": len(words)})


async def answer_stored(request: Request) -> Response:
    """Answer a request about a response that is kept."""
    name = request.path_params[STORED_ID]
    kept = _responses(request).get(name)
    if kept is None:
        raise HTTPException(404, f"Response with id '{name}' not found.")
    if request.method == "DELETE":
        _responses(request).delete(name)
        return json_response({"id": name, "object": "response", "deleted": True})
    if request.url.path.endswith("/cancel"):
        raise InvalidRequest("Only a response in the background can be cancelled.")
    if request.url.path.endswith("/input_items"):
        items = kept.input_items
        ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
        return json_response({"object": "list", "data": items, **ends, "has_more": False})
    return json_response(kept.response)


def _responses(request: Request) -> KeptResponses:
    kept: KeptResponses = request.app.state.kept
    return kept


def _context(request: Request, body: _CountBody) -> list[str]:
    """Return the words of the conversation that a request continues.

    Raises:
        InvalidRequest: the previous response is not kept.
    """
    previous = body.previous_response_id
    if previous is None:
        return []
    kept = _responses(request).get(previous)
    if kept is None:
        message = f"Previous response with id '{previous}' not found."
        raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")
    return kept.words


def _input_items(response: str, body: _CountBody) -> list[dict[str, object]]:
    texts = [body.input] if isinstance(body.input, str) else [" ".join(_words(item.content)) for item in body.input]
    return [
        {
            "type": "message",
            "id": f"msg_{response}_{number}",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        for number, text in enumerate(texts)
    ]


def _events(
    begun: dict[str, object], ended: dict[str, object], item: dict[str, object], pieces: list[str]
) -> Iterator[dict[str, object]]:
    """Yield the events of a stream, without their numbers."""
    is_call = item["type"] == "function_call"
    place: dict[str, object] = {"item_id": item["id"], "output_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    empty: dict[str, object] = {"arguments": ""} if is_call else {"content": []}
    yield {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**item, **empty, "status": "in_progress"},
    }
    if is_call:
        for piece in pieces:
            yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **place, "arguments": "".join(pieces)}
    else:
        place["content_index"] = 0
        part = {"type": "output_text", "text": "".join(pieces), "annotations": []}
        yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
        for piece in pieces:
            yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": f"response.{ended['status']}", "response": ended}


def _usage(tokens_in: int, tokens_out: int) -> dict[str, object]:
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }


def _tool_to_call(body: _ResponsesBody) -> str | None:
    """Return the name of the function that must be called; None if the reply is text."""
    if body.tool_choice != "required":
        return None
    names = [tool.name for tool in body.tools or () if tool.type == "function" and tool.name]
    if not names:
        raise InvalidRequest("'tool_choice' requires a function that is not in 'tools'.", param="tool_choice")
    return names[0]


FAKE = FakeKind("responses", "fake-chat", TEXT_PRICE, answer_responses, count_input_tokens, answer_stored)
