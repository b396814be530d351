"""Fake transcripts: three words per second, selected by a hash of the samples."""

import hashlib
import itertools
import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hero_broker.core.errors import InvalidRequest
from hero_broker.pricing.price import Price
from hero_broker.providers.fake.fake_kind import SOURCE, FakeKind
from hero_broker.providers.fake.wire import event_stream, json_response

_VOCABULARY = ("amber", "bridge", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper", "kite")
_WORDS_PER_SECOND = 3
_MAX_WORDS = 30_000
_SEGMENT_WORDS = 9
_BLOCK_FRAMES = 16_384
_FORMATS = ("json", "verbose_json", "text", "srt", "vtt")


@dataclass(frozen=True, slots=True)
class _Recording:
    duration_s: float
    words: list[str]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def usage(self) -> dict[str, object]:
        return {"type": "duration", "seconds": math.ceil(self.duration_s)}


@dataclass(frozen=True, slots=True)
class _TranscriptSegment:
    start_s: float
    end_s: float
    text: str


async def answer_upload(request: Request) -> Response:
    """Answer `POST /v1/audio/transcriptions` and `/v1/audio/translations` alike; the words are English anyway.

    Usage is the started seconds, which plain text does not include.
    """
    task = "translate" if request.url.path.endswith("/translations") else "transcribe"
    async with request.form(max_files=1) as form:
        _field_text(form, "model")
        answer_format = _field_choice(form, "response_format", _FORMATS)
        is_stream = _field_choice(form, "stream", ("false", "true")) == "true"
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise InvalidRequest("'file' must be an uploaded file.", param="file")
        recording = await run_in_threadpool(_read_recording, upload.file)
    if is_stream:
        return event_stream(_events(recording))
    if answer_format == "json":
        return json_response({"text": recording.text, "usage": recording.usage})
    if answer_format == "verbose_json":
        return json_response(_verbose(recording, task))
    return PlainTextResponse(_plain(recording, answer_format))


def _field_text(form: FormData, name: str) -> str:
    value = form.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"'{name}' must be a non-empty string.", param=name)
    return value


def _field_choice(form: FormData, name: str, accepted: tuple[str, ...]) -> str:
    """Return a field's value; the first accepted value if the field is missing."""
    value = _field_text(form, name).lower() if name in form else accepted[0]
    if value not in accepted:
        raise InvalidRequest(f"'{name}' must be one of {', '.join(accepted)}.", param=name)
    return value


def _read_recording(audio: BinaryIO) -> _Recording:
    """Read a WAV, one block at a time. Its length is that of the samples, even if its header says otherwise."""
    digest = hashlib.shake_256()
    length = 0
    try:
        with wave.open(audio, "rb") as reader:
            bytes_per_second = reader.getframerate() * reader.getnchannels() * reader.getsampwidth()
            while block := reader.readframes(_BLOCK_FRAMES):
                digest.update(block)
                length += len(block)
        duration_s = length / bytes_per_second
    except (wave.Error, EOFError, RuntimeError, ZeroDivisionError) as error:  # RuntimeError: contradictory sizes
        raise InvalidRequest("The audio cannot be decoded; send a WAV of PCM samples.", param="file") from error
    count = min(math.ceil(duration_s * _WORDS_PER_SECOND), _MAX_WORDS)
    return _Recording(duration_s, [_VOCABULARY[number % len(_VOCABULARY)] for number in digest.digest(count)])


def _events(recording: _Recording) -> Iterator[dict[str, object]]:
    for index, word in enumerate(recording.words):
        yield {"type": "transcript.text.delta", "delta": f" {word}" if index else word}
    yield {"type": "transcript.text.done", "text": recording.text, "usage": recording.usage}


def _segments(recording: _Recording) -> list[_TranscriptSegment]:
    """Split a recording into segments of a few words; together they cover its whole duration."""
    starts = range(0, len(recording.words), _SEGMENT_WORDS)
    times = [*(start / _WORDS_PER_SECOND for start in starts), recording.duration_s]
    texts = [" ".join(recording.words[start : start + _SEGMENT_WORDS]) for start in starts]
    return [
        _TranscriptSegment(start, end, text)
        for (start, end), text in zip(itertools.pairwise(times), texts, strict=True)
    ]


def _verbose(recording: _Recording, task: str) -> dict[str, object]:
    segments = [
        {
            "id": index,
            "seek": 0,
            "start": segment.start_s,
            "end": segment.end_s,
            "text": segment.text,
            "tokens": [_VOCABULARY.index(word) for word in segment.text.split()],
            "temperature": 0.0,
            "avg_logprob": 0.0,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.0,
        }
        for index, segment in enumerate(_segments(recording))
    ]
    return {
        "task": task,
        "language": "english",
        "duration": recording.duration_s,
        "text": recording.text,
        "segments": segments,
        "usage": recording.usage,
    }


def _plain(recording: _Recording, answer_format: str) -> str:
    if answer_format == "text":
        return f"{recording.text}\n"
    point = "," if answer_format == "srt" else "."
    cues = [
        f"{_clock(segment.start_s, point)} --> {_clock(segment.end_s, point)}\n{segment.text}\n\n"
        for segment in _segments(recording)
    ]
    if answer_format == "srt":
        return "".join(f"{number}\n{cue}" for number, cue in enumerate(cues, start=1))
    return "WEBVTT\n\n" + "".join(cues)


def _clock(time_s: float, point: str) -> str:
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{milliseconds:03}"


FAKE = FakeKind("stt", "fake-stt", Price(audio_per_minute=Decimal("0.006"), source=SOURCE), answer_upload)
