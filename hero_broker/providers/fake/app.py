"""The fake provider's routes and the models that it lists; it also answers for models that it does not list."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.registry import KINDS
from hero_broker.providers.fake import chat, completion, embedding, messages, moderation, rerank, responses, stt, tts
from hero_broker.providers.fake.wire import error_response, json_response

FAKES = tuple(
    module.FAKE for module in (chat, completion, embedding, tts, stt, rerank, moderation, messages, responses)
)


def fake_provider() -> Starlette:
    """Return the provider as an ASGI application."""
    provider = Starlette(
        routes=[
            Route("/v1/models", _list_models, methods=["GET"]),
            *(Route(path, fake.answer, methods=["POST"]) for fake in FAKES for path in KINDS[fake.kind].paths),
            *(
                Route(path, fake.look_up, methods=["POST"])
                for fake in FAKES
                if fake.look_up is not None
                for path in KINDS[fake.kind].look_ups
            ),
            *(
                Route(stored.spec.path, fake.stored, methods=[stored.spec.verb.upper()])
                for fake in FAKES
                if fake.stored is not None
                for stored in KINDS[fake.kind].stored_requests
            ),
        ],
        exception_handlers={
            InvalidRequest: error_response,
            HTTPException: error_response,
            ClientDisconnect: _on_disconnect,
        },
    )
    provider.state.kept = responses.KeptResponses()
    return provider


async def _on_disconnect(_: Request, _error: Exception) -> Response:
    """Respond to a client that has disconnected: nobody reads it, but it must not look like a provider's error."""
    return Response(status_code=400)


async def _list_models(_: Request) -> Response:
    models = dict.fromkeys(fake.model for fake in FAKES)
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "fake"} for model in models]
    return json_response({"object": "list", "data": data})
