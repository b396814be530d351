"""A provider that answers every kind of call deterministically, for trying the broker without key or network.

A word is a token. Answers depend on the request alone, and report exactly what they are billed by.
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
