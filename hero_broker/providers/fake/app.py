"""The fake provider's routes and the models that it lists; it also answers for models that it does not list."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hero_broker.core.errors import InvalidRequest
from hero_broker.providers.fake.chat import answer_chat
from hero_broker.providers.fake.completions import answer_completion
from hero_broker.providers.fake.embeddings import answer_embedding
from hero_broker.providers.fake.rerank import answer_rerank
from hero_broker.providers.fake.speech import answer_speech
from hero_broker.providers.fake.transcription import answer_transcription, answer_translation
from hero_broker.providers.fake.wire import error_response, json_response

CHAT_MODEL, COMPLETION_MODEL, EMBEDDING_MODEL = "fake-chat", "fake-completion", "fake-embedding"
TTS_MODEL, STT_MODEL, RERANK_MODEL = "fake-tts", "fake-stt", "fake-rerank"

_MODELS = (CHAT_MODEL, COMPLETION_MODEL, EMBEDDING_MODEL, TTS_MODEL, STT_MODEL, RERANK_MODEL)


def fake_provider() -> Starlette:
    """Return the provider as an ASGI application."""
    return Starlette(
        routes=[
            Route("/v1/models", _list_models, methods=["GET"]),
            Route("/v1/chat/completions", answer_chat, methods=["POST"]),
            Route("/v1/completions", answer_completion, methods=["POST"]),
            Route("/v1/embeddings", answer_embedding, methods=["POST"]),
            Route("/v1/audio/speech", answer_speech, methods=["POST"]),
            Route("/v1/audio/transcriptions", answer_transcription, methods=["POST"]),
            Route("/v1/audio/translations", answer_translation, methods=["POST"]),
            Route("/v1/rerank", answer_rerank, methods=["POST"]),
            Route("/v2/rerank", answer_rerank, methods=["POST"]),
        ],
        exception_handlers={
            InvalidRequest: error_response,
            HTTPException: error_response,
            ClientDisconnect: _on_disconnect,
        },
    )


async def _on_disconnect(_: Request, _error: Exception) -> Response:
    """Respond to a client that has disconnected: nobody reads it, but it must not look like a provider's error."""
    return Response(status_code=400)


async def _list_models(_: Request) -> Response:
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "fake"} for model in _MODELS]
    return json_response({"object": "list", "data": data})
