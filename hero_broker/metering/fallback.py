"""Rules for usage that nobody reported: what a call is taken to use before a tokenizer has counted."""

from typing import Protocol

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import AUDIO_BYTES_PER_S, BYTES_PER_TOKEN, Usage
from hero_broker.pricing.price import Price

AUDIO_MS_PER_TOKEN = 100  # of audio that a model listens to: ten tokens a second
SPEECH_TOKENS_PER_1000_CHARACTERS = 1_390  # 1,250 tokens a minute, 900 characters a minute


class CallShape(Protocol):
    """What is known of a call without reading its text."""

    @property
    def kind(self) -> CallKind: ...
    @property
    def input_bytes(self) -> int: ...
    @property
    def characters(self) -> int | None: ...


def rough_usage(call: CallShape, price: Price | None, output_tokens: int) -> Usage:
    """Return what is known of a call without reading its text; never 0 for what is billed by input."""
    if call.kind is CallKind.TTS:
        return tts_usage(call, price, max(1, call.input_bytes // BYTES_PER_TOKEN))
    if call.kind is CallKind.STT:
        return stt_usage(call.input_bytes * 1000 // AUDIO_BYTES_PER_S, price, output_tokens)
    tokens = max(1, call.input_bytes // BYTES_PER_TOKEN)
    if call.kind is CallKind.RERANK:
        return rerank_usage(price, tokens)
    return Usage(input_tokens=tokens, output_tokens=0 if call.kind is CallKind.EMBEDDING else output_tokens)


def tts_usage(call: CallShape, price: Price | None, input_tokens: int) -> Usage:
    """Return the usage of speech to be made: characters, and tokens where the price asks for them."""
    characters = call.characters or 0
    if price is None or price.characters_per_million is not None:
        return Usage(characters=characters)
    spoken = -(-characters * SPEECH_TOKENS_PER_1000_CHARACTERS // 1000)
    return Usage(input_tokens=input_tokens, output_tokens=spoken, audio_output_tokens=spoken, characters=characters)


def stt_usage(audio_ms: int, price: Price | None, output_tokens: int) -> Usage:
    """Return the usage of speech to be written down: time, and tokens where the price asks for them."""
    if price is None or price.audio_per_minute is not None:
        return Usage(audio_ms=audio_ms)
    heard = max(1, -(-audio_ms // AUDIO_MS_PER_TOKEN))
    return Usage(input_tokens=heard, audio_input_tokens=heard, output_tokens=output_tokens, audio_ms=audio_ms)


def rerank_usage(price: Price | None, input_tokens: int) -> Usage:
    """Return the usage of documents that were ranked: one search, or tokens where the price asks for them."""
    if price is None or price.per_thousand_searches is not None:
        return Usage(search_units=1)
    return Usage(input_tokens=input_tokens, output_tokens=0)
