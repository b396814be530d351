"""Rough rules for unreported usage, used before or without a tokenizer."""

from typing import Protocol

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import AUDIO_BYTES_PER_S, BYTES_PER_TOKEN, Usage
from hero_broker.pricing.price import Price

AUDIO_MS_PER_TOKEN = 100  # of input audio: ten tokens per second
SPEECH_TOKENS_PER_1000_CHARACTERS = 1_390  # 1,250 tokens and 900 characters per minute


class CallShape(Protocol):
    """The facts of a call that are known without reading its text."""

    @property
    def kind(self) -> CallKind: ...
    @property
    def input_bytes(self) -> int: ...
    @property
    def characters(self) -> int | None: ...


def rough_usage(call: CallShape, price: Price | None, output_tokens: int) -> Usage:
    """Estimate usage without reading the call's text; input that is billed is never 0."""
    if call.kind is CallKind.TTS:
        return tts_usage(call, price, max(1, call.input_bytes // BYTES_PER_TOKEN))
    if call.kind is CallKind.STT:
        return stt_usage(call.input_bytes * 1000 // AUDIO_BYTES_PER_S, price, output_tokens)
    tokens = max(1, call.input_bytes // BYTES_PER_TOKEN)
    if call.kind is CallKind.RERANK:
        return rerank_usage(price, tokens)
    return Usage(input_tokens=tokens, output_tokens=0 if call.kind is CallKind.EMBEDDING else output_tokens)


def tts_usage(call: CallShape, price: Price | None, input_tokens: int) -> Usage:
    """Return the usage of a TTS call: characters, and tokens too if the price is by token."""
    characters = call.characters or 0
    if price is None or price.characters_per_million is not None:
        return Usage(characters=characters)
    audio_tokens = -(-characters * SPEECH_TOKENS_PER_1000_CHARACTERS // 1000)
    return Usage(
        input_tokens=input_tokens, output_tokens=audio_tokens, audio_output_tokens=audio_tokens, characters=characters
    )


def stt_usage(audio_ms: int, price: Price | None, output_tokens: int) -> Usage:
    """Return the usage of an STT call: audio time, and tokens too if the price is by token."""
    if price is None or price.audio_per_minute is not None:
        return Usage(audio_ms=audio_ms)
    audio_tokens = max(1, -(-audio_ms // AUDIO_MS_PER_TOKEN))
    return Usage(
        input_tokens=audio_tokens, audio_input_tokens=audio_tokens, output_tokens=output_tokens, audio_ms=audio_ms
    )


def rerank_usage(price: Price | None, input_tokens: int) -> Usage:
    """Return the usage of a rerank call: one search, or tokens if the price is by token."""
    if price is None or price.per_thousand_searches is not None:
        return Usage(search_units=1)
    return Usage(input_tokens=input_tokens, output_tokens=0)
