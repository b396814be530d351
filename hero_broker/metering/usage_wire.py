"""The `usage` object of an OpenAI-shaped answer → Usage; what cannot be believed is no usage at all."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import MAX_UNITS, Usage


class _Reply(msgspec.Struct):
    usage: object = None
    choices: list[msgspec.Raw] | None = None


_DECODER = msgspec.json.Decoder(_Reply)


def read_usage(body: bytes) -> tuple[Usage | None, bool]:
    """Return the usage that an answer or a stream's event reports, and whether its `choices` are empty.

    None stands for a usage that is missing or that breaks a bound (an integer from 0 to `MAX_UNITS`).
    """
    try:
        reply = _DECODER.decode(body)
    except msgspec.DecodeError:
        return None, False
    empty = reply.usage is not None and reply.choices is not None and not reply.choices
    return (_usage(reply.usage), empty) if isinstance(reply.usage, dict) else (None, empty)


def _usage(reported: Mapping[str, object]) -> Usage | None:
    input_details = _details(reported, "prompt_tokens_details")
    output_details = _details(reported, "completion_tokens_details")
    counts: dict[str, object] = {
        "input_tokens": reported.get("prompt_tokens"),
        "output_tokens": reported.get("completion_tokens", 0),
        "cached_input_tokens": input_details.get("cached_tokens"),
        "cache_write_tokens": input_details.get("cache_write_tokens"),
        "audio_input_tokens": input_details.get("audio_tokens"),
        "reasoning_tokens": output_details.get("reasoning_tokens"),
        "audio_output_tokens": output_details.get("audio_tokens"),
    }
    believed: dict[str, int] = {}
    for name, value in counts.items():
        if value is None and name != "input_tokens":
            continue
        if type(value) is not int or not 0 <= value <= MAX_UNITS:
            return None
        believed[name] = value
    return Usage(**believed)


def _details(reported: Mapping[str, object], name: str) -> Mapping[str, object]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}
