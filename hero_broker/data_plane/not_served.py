"""Tells callers of interfaces that are not served what they can use instead."""

import re
from collections.abc import Mapping

from hero_broker.edge.paths import classify_path

MAX_NAMED = 200  # characters of a path, in a message

_PREFIX = re.compile(r"^(?:/openai)?(?:/v1)*(?=/)")  # what clients put before a path

CHAT = "POST /v1/chat/completions"
OPENAI_PROVIDER = "choose a provider that is compatible with OpenAI, with the base URL http://HOST:PORT/v1"
BASE_URL = "The base URL of OpenAI's clients is http://HOST:PORT/v1."
NO_STATE = "The broker keeps nothing for its callers."

_RESPONSES = "/responses/"  # below it are the ids of responses that providers store
NOT_STORED = "No stored response can have this path. POST /v1/responses makes one, and its id is the path's."

# By the beginning of a path, without `/v1`.
HINTS: Mapping[str, str] = {
    "/messages/batches": "Batches of Messages are not served. Make each call by itself: POST /v1/messages.",
    "/api": f"Ollama's interface is not served. In your tool, {OPENAI_PROVIDER}.",
    "/v1beta": f"Gemini's interface is not served. In your tool, {OPENAI_PROVIDER}.",
    "/realtime": "Realtime sessions are not served. Use POST /v1/audio/transcriptions, "
    f"{CHAT} and POST /v1/audio/speech.",
    "/images": "Images are not served. A chat model that draws can be called at POST /v1/chat/completions.",
    "/videos": "Videos are not served.",
    "/files": f"Files are not served. Send the content in the call itself: {CHAT}.",
    "/uploads": f"Files are not served. Send the content in the call itself: {CHAT}.",
    "/batches": f"Batches are not served. Make each call by itself: {CHAT}.",
    "/assistants": f"Assistants are not served. {NO_STATE} Send the whole conversation in each call: {CHAT}.",
    "/threads": f"Threads are not served. {NO_STATE} Send the whole conversation in each call: {CHAT}.",
    "/conversations": f"Conversations are not served. {NO_STATE} Send the whole conversation in each call: {CHAT}.",
    "/vector_stores": f"Vector stores are not served. {NO_STATE} POST /v1/embeddings makes vectors.",
    "/fine_tuning": f"Fine-tuning is not served. {NO_STATE}",
}


def not_found_message(path: str) -> str:
    """Return the message for a path that has no route, with what works instead."""
    message = f"There is no route {path[:MAX_NAMED]}."
    if classify_path(path).is_guarded:
        return message
    rest = _PREFIX.sub("", path)
    if rest.startswith(_RESPONSES):
        return f"{message} {NOT_STORED}"
    hint = next((hint for start, hint in HINTS.items() if rest == start or rest.startswith(f"{start}/")), BASE_URL)
    return f"{message} {hint}"
