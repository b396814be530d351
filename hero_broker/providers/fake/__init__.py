"""A provider that answers every kind of call deterministically, to try the broker without a key or network.

A word is a token. Responses depend only on the request, and report exactly the usage that is billed.
"""

from hero_broker.providers.fake.app import (
    CHAT_MODEL,
    COMPLETION_MODEL,
    EMBEDDING_MODEL,
    RERANK_MODEL,
    STT_MODEL,
    TTS_MODEL,
    fake_provider,
)

__all__ = [
    "CHAT_MODEL",
    "COMPLETION_MODEL",
    "EMBEDDING_MODEL",
    "RERANK_MODEL",
    "STT_MODEL",
    "TTS_MODEL",
    "fake_provider",
]
