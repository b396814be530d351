"""Speech to text: transcriptions and translations of an uploaded file, billed by its duration or by tokens."""

import io
import wave
from collections.abc import Mapping

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.counts import count, details, milliseconds
from hero_broker.kinds.kind import EVENT_STREAM, JSON, CallSize, Kind, Measured, Request
from hero_broker.kinds.report import WireReply
from hero_broker.kinds.route_spec import FORM, MODEL, BodySpec, RouteSpec, provider_answer
from hero_broker.kinds.stream_rules import StreamRules
from hero_broker.kinds.texts import load, non_empty
from hero_broker.kinds.wide_json import is_wide
from hero_broker.pricing.price import Price

AUDIO_MS_PER_TOKEN = 100  # of input audio: ten tokens per second
STREAM_WORDS = {"true": True, "1": True, "false": False, "0": False, "": False}
EXAMPLE_RATE = 16_000  # samples per second
EXAMPLE_S = 2

_BODY = BodySpec(
    FORM,
    {
        **MODEL,
        "file": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "minLength": 1,
            "description": "The audio, once, with a file name. It is forwarded as it arrives if `model` comes first.",
        },
        "stream": {
            "type": "string",
            "enum": ["true", "1", "false", "0", ""],
            "description": "Whether to respond with an event stream; case does not matter.",
        },
    },
    ("model", "file"),
)
_TRANSCRIPT = provider_answer(JSON, EVENT_STREAM, "text/*")


class Stt(Kind):
    """`POST /v1/audio/transcriptions` and `POST /v1/audio/translations`."""

    name = "stt"
    paths = {
        "/v1/audio/transcriptions": "/audio/transcriptions",
        "/v1/audio/translations": "/audio/translations",
    }
    specs = (
        RouteSpec("/v1/audio/transcriptions", "createTranscription", "Transcribe audio", _TRANSCRIPT, _BODY),
        RouteSpec("/v1/audio/translations", "createTranslation", "Translate audio to English", _TRANSCRIPT, _BODY),
    )
    typical = (
        ("a minute of audio", Usage(audio_ms=60_000)),
        ("1,000 tokens in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),
        (
            "1,000 tokens of audio in and 1,000 out",
            Usage(input_tokens=1000, audio_input_tokens=1000, output_tokens=1000),
        ),
    )
    takes_form = True
    measures_audio = True
    stream_rules = StreamRules(last_types=(b'"transcript.text.done"',))

    def read_form(self, fields: Mapping[str, str], size: int) -> Request:
        """Check `model` and `stream`."""
        model = fields.get("model")
        if model is None:
            raise InvalidRequest("'model' is missing.", param="model")
        stream = STREAM_WORDS.get(fields.get("stream", "").lower())
        if stream is None:
            raise InvalidRequest("'stream' must be true or false.", param="stream")
        return Request(model, size, stream=stream)

    def may_be_text(self, content_type: str) -> bool:
        """Return whether a transcript may be something other than JSON: the client chooses its format."""
        return not content_type.startswith(JSON)

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return tokens, or the billed seconds, or else the duration in `verbose_json`.

        Mistral names the seconds `prompt_audio_seconds`: https://docs.mistral.ai/capabilities/audio_transcription.
        """
        if "input_tokens" in reported:
            input_details = details(reported, "input_token_details")
            return Usage(
                input_tokens=count(reported["input_tokens"], may_be_null=False),
                output_tokens=count(reported.get("output_tokens", 0), may_be_null=False),
                audio_input_tokens=count(input_details.get("audio_tokens")),
            )
        seconds = reported.get("seconds", reported.get("prompt_audio_seconds", reply.duration))
        return None if seconds is None else Usage(audio_ms=milliseconds(seconds))

    def writes_tokens(self, price: Price | None) -> bool:
        """Return whether the price is by token."""
        return price is not None and price.audio_per_minute is None

    def delivered_text(self, body: bytes) -> tuple[str, ...]:
        """Return the transcript, which may be plain text."""
        if is_wide(body) or not isinstance(load(body), dict):
            return non_empty([body.decode("utf-8", "replace")])
        return super().delivered_text(body)

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return the duration, and tokens too if the price is by token."""
        audio_ms = measured.audio_ms
        if not self.writes_tokens(price):
            return Usage(audio_ms=audio_ms)
        tokens = max(1, -(-audio_ms // AUDIO_MS_PER_TOKEN))
        return Usage(
            input_tokens=tokens, audio_input_tokens=tokens, output_tokens=measured.output_tokens, audio_ms=audio_ms
        )

    def example_body(self, model: str) -> tuple[str, bytes]:
        """Return a form with some silence."""
        audio = io.BytesIO()
        with wave.open(audio, "wb") as writer:
            writer.setparams((1, 2, EXAMPLE_RATE, 0, "NONE", ""))
            writer.writeframes(bytes(2 * EXAMPLE_RATE * EXAMPLE_S))
        boundary = "hero-broker"
        lines = (
            f"--{boundary}",
            'content-disposition: form-data; name="model"',
            "",
            model,
            f"--{boundary}",
            'content-disposition: form-data; name="file"; filename="silence.wav"',
            "content-type: audio/wav",
            "",
            "",
        )
        form = "\r\n".join(lines).encode() + audio.getvalue() + f"\r\n--{boundary}--\r\n".encode()
        return f"{FORM}; boundary={boundary}", form


STT = Stt()
