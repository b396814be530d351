"""Calls of LangChain's packages; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found,untyped-decorator"

import json
import os
import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_cohere import CohereRerank
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

BASE_URL = os.environ["OPENAI_BASE_URL"]
WORDS = " ".join(["word"] * 40)


@tool
def look(place: str) -> str:
    """Look at a place."""
    return f"nothing in {place}"


def invoke() -> object:
    answer = ChatOpenAI(model="fake-chat", base_url=BASE_URL).invoke(WORDS)
    return {
        "text": answer.content,
        "tokens": [answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]],
    }


def stream() -> object:
    """Stream as the package does by itself: it does not ask an unknown host for usage."""
    chunks = list(ChatOpenAI(model="fake-chat", base_url=BASE_URL).stream(WORDS))
    return {
        "text": "".join(chunk.text for chunk in chunks),
        "usages": [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata],
    }


def stream_with_usage() -> object:
    chunks = list(ChatOpenAI(model="fake-chat", base_url=BASE_URL, stream_usage=True).stream(WORDS))
    return {
        "text": "".join(chunk.text for chunk in chunks),
        "tokens": [
            [chunk.usage_metadata["input_tokens"], chunk.usage_metadata["output_tokens"]]
            for chunk in chunks
            if chunk.usage_metadata
        ],
    }


def embeddings() -> object:
    """Embed texts; with the check the package would fetch a tokenizer and send token ids."""
    made = OpenAIEmbeddings(model="fake-embedding", base_url=BASE_URL, check_embedding_ctx_length=False)
    return [len(vector) for vector in made.embed_documents(["one two", "three"])]


def codex() -> object:
    """Ask a model that the package calls over Responses, because of its name."""
    return _loop(ChatOpenAI(model="gpt-5-codex", base_url=BASE_URL))


def codex_stream() -> object:
    return _pieces(ChatOpenAI(model="gpt-5-codex", base_url=BASE_URL))


def claude() -> object:
    return _loop(ChatAnthropic(model="claude-sonnet-4-5"))


def claude_stream() -> object:
    return _pieces(ChatAnthropic(model="claude-sonnet-4-5"))


def _loop(model: Any) -> object:
    """Call a tool as the model demands it, and return the tool's results and the last reply."""
    model = model.bind_tools([look])
    messages = [HumanMessage("how is the work")]
    messages.append(model.invoke(messages))
    results = [look.invoke(call) for call in messages[-1].tool_calls]
    return {"results": [result.content for result in results], "text": model.invoke([*messages, *results]).text}


def _pieces(model: Any) -> object:
    chunks = list(model.stream("how is the work"))
    return "".join(chunk.text for chunk in chunks)


def rerank() -> object:
    """Rerank as the package does by itself: it asks for three results, of two documents."""
    ranker = CohereRerank(model="fake-rerank", base_url=os.environ["CO_API_URL"])
    return [result["index"] for result in ranker.rerank(["a call", "the bill of a call"], "the bill")]


CALLS = (invoke, stream, stream_with_usage, embeddings, codex, codex_stream, claude, claude_stream, rerank)

if __name__ == "__main__":
    (asked,) = (call for call in CALLS if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
