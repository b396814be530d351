"""Fake speech: a tone, 50 ms per character, whose pitch depends on the text."""

import base64
import hashlib
import io
import math
import struct
import wave
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hero_broker.pricing.price import Price
from hero_broker.providers.fake.fake_kind import SOURCE, FakeKind
from hero_broker.providers.fake.wire import event_stream, read_body

_SAMPLE_RATE = 16_000
_CHARACTER_SAMPLES = _SAMPLE_RATE // 20
_LOUDNESS = 8_000  # of 32,767
_CHUNK_BYTES = 4_096


class _SpeechBody(msgspec.Struct):
    model: str
    input: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    stream_format: Literal["audio", "sse"] | None = None


async def answer_speech(request: Request) -> Response:
    """Answer `POST /v1/audio/speech` in chunks: raw samples for "pcm", WAV for all other formats.

    Only event streams report usage: the words of the text, and one output token per character.
    """
    body = await read_body(request, _SpeechBody)
    samples = _tone(body.input)
    is_pcm = body.response_format == "pcm"
    audio = samples if is_pcm else _wav(samples)
    chunks = [audio[start : start + _CHUNK_BYTES] for start in range(0, len(audio), _CHUNK_BYTES)]
    if body.stream_format == "sse":
        return event_stream(_events(body.input, chunks))
    return StreamingResponse(_each(chunks), media_type="audio/pcm" if is_pcm else "audio/wav")


def _tone(text: str) -> bytes:
    """Return 16-bit little-endian samples, `_CHARACTER_SAMPLES` per character."""
    # A whole number of periods per character, so that consecutive tones join without a click.
    periods = 10 + hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % 40
    angles = (2 * math.pi * periods * sample / _CHARACTER_SAMPLES for sample in range(_CHARACTER_SAMPLES))
    character = struct.pack(f"<{_CHARACTER_SAMPLES}h", *(round(_LOUDNESS * math.sin(angle)) for angle in angles))
    return character * len(text)


def _wav(samples: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(_SAMPLE_RATE)
        writer.writeframes(samples)
    return buffer.getvalue()


async def _each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _events(text: str, chunks: list[bytes]) -> Iterator[dict[str, object]]:
    for chunk in chunks:
        yield {"type": "speech.audio.delta", "audio": base64.b64encode(chunk).decode()}
    words, characters = len(text.split()), len(text)
    usage = {"input_tokens": words, "output_tokens": characters, "total_tokens": words + characters}
    yield {"type": "speech.audio.done", "usage": usage}


FAKE = FakeKind("tts", "fake-tts", Price(characters_per_million=Decimal(15), source=SOURCE), answer_speech)
