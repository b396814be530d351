"""Fake text completions: each prompt is continued with its last words."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.providers.fake.chat import StreamOptions, TokenLimit
from hero_broker.providers.fake.echo import echo
from hero_broker.providers.fake.fake_kind import TEXT_PRICE, FakeKind
from hero_broker.providers.fake.wire import DONE, event_stream, json_response, read_body, response_id, token_usage


class _CompletionBody(msgspec.Struct):
    model: str
    prompt: str | Annotated[list[str], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = None


async def answer_completion(request: Request) -> Response:
    """Answer `POST /v1/completions`, one choice for each prompt; usage is the words of all prompts and choices."""
    body = await read_body(request, _CompletionBody)
    prompts = [prompt.split() for prompt in ([body.prompt] if isinstance(body.prompt, str) else body.prompt)]
    replies = [echo(words, body.max_tokens) for words in prompts]
    usage = token_usage(sum(map(len, prompts)), sum(len(reply.words) for reply in replies))
    base = {"id": await response_id(request, "cmpl-"), "object": "text_completion", "created": 0, "model": body.model}
    if not body.stream:
        choices = [_choice(index, reply.text, reply.finish_reason) for index, reply in enumerate(replies)]
        return json_response({**base, "choices": choices, "usage": usage})
    pieces = [
        choice
        for index, reply in enumerate(replies)
        for choice in (
            *(_choice(index, piece, None) for piece in reply.pieces),
            _choice(index, "", reply.finish_reason),
        )
    ]
    events = [{**base, "choices": [choice]} for choice in pieces]
    if body.stream_options is not None and body.stream_options.include_usage:
        events.append({**base, "choices": [], "usage": usage})
    return event_stream(events, DONE)


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


FAKE = FakeKind("completion", "fake-completion", TEXT_PRICE, answer_completion)
