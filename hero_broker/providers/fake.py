"""A provider that answers deterministically, for trying the broker without key or network.

A word is a token. Chat echoes the last message; a stream sends a word an event.
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CHAT_MODEL, EMBEDDING_MODEL = "fake-chat", "fake-embedding"


def _words(messages: object) -> list[str]:
    if not isinstance(messages, list):
        return []
    texts = (message.get("content") for message in messages if isinstance(message, dict))
    return [word for text in texts if isinstance(text, str) for word in text.split()]


async def _chat(request: Request) -> Response:
    body = await request.json()
    words = _words(body.get("messages"))
    reply = words[-3:] or ["nothing", "was", "said"]
    usage = {
        "prompt_tokens": len(words),
        "completion_tokens": len(reply),
        "total_tokens": len(words) + len(reply),
    }
    base = {"id": "chatcmpl-fake", "created": 0, "model": body.get("model")}
    if not body.get("stream"):
        message = {"role": "assistant", "content": " ".join(reply)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
    with_usage = (body.get("stream_options") or {}).get("include_usage") is True
    chunk = {**base, "object": "chat.completion.chunk"}
    events: list[dict[str, object]] = [
        {**chunk, "choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]} for word in reply
    ]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if with_usage:
        events.append({**chunk, "choices": [], "usage": usage})
    stream = [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
    return StreamingResponse(iter(stream), media_type="text/event-stream")


async def _embeddings(request: Request) -> Response:
    body = await request.json()
    given = body.get("input")
    texts = [given] if isinstance(given, str) else list(given or [])
    tokens = sum(len(text.split()) if isinstance(text, str) else 1 for text in texts)
    data = [{"object": "embedding", "index": index, "embedding": [0.5, -0.5]} for index in range(len(texts))]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": body.get("model"), "usage": usage})


def fake_provider() -> Starlette:
    """Return the provider as an ASGI application."""
    return Starlette(
        routes=[
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/embeddings", _embeddings, methods=["POST"]),
        ]
    )
