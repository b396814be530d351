"""Calls of LangChain's OpenAI and Cohere packages; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found"

import json
import os
import sys

from langchain_cohere import CohereRerank
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

BASE_URL = os.environ["OPENAI_BASE_URL"]
WORDS = " ".join(["word"] * 40)


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


def rerank() -> object:
    """Rerank as the package does by itself: it asks for three results, of two documents."""
    ranker = CohereRerank(model="fake-rerank", base_url=os.environ["CO_API_URL"])
    return [result["index"] for result in ranker.rerank(["a call", "the bill of a call"], "the bill")]


CALLS = (invoke, stream, stream_with_usage, embeddings, rerank)

if __name__ == "__main__":
    (asked,) = (call for call in CALLS if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
