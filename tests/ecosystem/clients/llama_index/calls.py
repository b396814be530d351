"""Calls of LlamaIndex's client for hosts like OpenAI; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found"

import json
import os
import sys

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

MODEL = OpenAILike(
    model="fake-chat",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
)
MESSAGES = [ChatMessage(role="user", content=" ".join(["word"] * 40))]


def chat() -> object:
    return MODEL.chat(MESSAGES).message.content


def stream() -> object:
    return [chunk.delta for chunk in MODEL.stream_chat(MESSAGES) if chunk.delta]


if __name__ == "__main__":
    (asked,) = (call for call in (chat, stream) if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
