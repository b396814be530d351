"""Text to speech, billed by characters or by tokens."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.counts import count
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, CallSize, Framing, Kind, Measured, Request
from hero_broker.kinds.report import WireReply
from hero_broker.kinds.route_spec import NON_EMPTY_STRING, RouteSpec, json_body, provider_answer
from hero_broker.kinds.stream_rules import StreamRules
from hero_broker.kinds.texts import Reading, member, non_empty
from hero_broker.pricing.price import Price

SPEECH_TOKENS_PER_1000_CHARACTERS = 1_390  # 1,250 tokens and 900 characters per minute


class Tts(Kind):
    """`POST /v1/audio/speech`."""

    name = "tts"
    paths = {"/v1/audio/speech": "/audio/speech"}
    specs = (
        RouteSpec(
            "/v1/audio/speech",
            "createSpeech",
            "Create speech from text",
            provider_answer("audio/*", EVENT_STREAM, "application/octet-stream"),
            json_body({"input": {**NON_EMPTY_STRING, "description": "Billed by its Unicode code points."}}, "input"),
        ),
    )
    typical = (
        ("1,000 characters", Usage(characters=1000)),
        ("1,000 tokens in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),
        (
            "1,000 tokens in and 1,000 of audio out",
            Usage(input_tokens=1000, output_tokens=1000, audio_output_tokens=1000),
        ),
    )
    example = {"voice": "alloy", "input": "Who spent how much, on what, when?"}
    stream_rules = StreamRules(last_types=(b'"speech.audio.done"',))

    def read(self, body: JsonBody) -> Request:
        """Check `input`. Characters are its Unicode code points."""
        text = body.string("input")
        return Request(
            body.model,
            len(text.encode("utf-8", "replace")),
            body,
            stream=bytes(body.members.get("stream_format", b"")) == b'"sse"',
            characters=len(text),
        )

    def framing(self, content_type: str, *, is_stream: bool) -> Framing:
        """Return how to relay a response: audio as it arrives."""
        if content_type.startswith(EVENT_STREAM):
            return Framing.EVENTS
        return Framing.WHOLE if content_type.startswith(JSON) else Framing.CHUNKS

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return the usage of `speech.audio.done`; all output is audio."""
        if "input_tokens" not in reported:
            return None
        output = count(reported.get("output_tokens"), may_be_null=False)
        return Usage(
            input_tokens=count(reported["input_tokens"], may_be_null=False),
            output_tokens=output,
            audio_output_tokens=output,
        )

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the text, and how it should be spoken."""
        return Reading(non_empty(member(members, name) for name in ("input", "instructions")))

    def writes_tokens(self, price: Price | None) -> bool:
        """Return False: the tokens of speech follow from the characters of the text."""
        return False

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return the characters, and tokens too if the price is by token."""
        characters = call.characters or 0
        if price is None or price.characters_per_million is not None:
            return Usage(characters=characters)
        audio_tokens = -(-characters * SPEECH_TOKENS_PER_1000_CHARACTERS // 1000)
        return Usage(
            input_tokens=measured.input_tokens,
            output_tokens=audio_tokens,
            audio_output_tokens=audio_tokens,
            characters=characters,
        )

    def usage_by_request(self, call: CallSize, price: Price | None) -> Usage | None:
        """Return the characters, if they are billed."""
        if call.characters is None or (price is not None and price.characters_per_million is None):
            return None
        return Usage(characters=call.characters)


TTS = Tts()
