"""What passes of a stream, what waits for the row, and which streams have come whole."""

import pytest

from hero_broker.core.calls import Attempt, Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import ProviderBadStream, ProviderError
from hero_broker.data_plane.event_stream import AFTER_LAST_BYTES, EventStream
from hero_broker.kinds.stream_rules import MAX_EVENT_BYTES
from hero_broker.metering.meter import Meter

DELTA = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
ERROR = b'data: {"error":{"message":"no sk-secret"}}\n\n'
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
MAX_LONG_EVENT_BYTES = 1000  # of Responses and Messages
SPOKEN = b'data: {"type":"speech.audio.delta","audio":"AA"}\n\n'


def passage(*, kind: str = "chat", wants_usage: bool = False) -> EventStream:
    call = Attempt("id", kind, "m", "p", "m", "http://p", b"{}", Caller("192.0.2.1", None), 0, True, wants_usage)
    return EventStream(call, ("sk-secret",), Meter(call, None, SystemClock()), MAX_LONG_EVENT_BYTES)


def passed(watched: EventStream, stream: bytes, size: int) -> tuple[bytes, bytes]:
    """Return what passed at once, and what waited."""
    at_once = b"".join(watched.feed(stream[at : at + size]) for at in range(0, len(stream), size))
    return at_once, b"".join(item for item in watched.tail if isinstance(item, bytes))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_usage_event_that_nobody_asked_for_is_left_out_before_and_behind_the_last_event(size: int) -> None:
    assert passed(passage(), DELTA + USAGE + DONE + USAGE + PING, size) == (DELTA, DONE + PING)
    assert passed(passage(wants_usage=True), DELTA + USAGE + DONE + USAGE, size) == (DELTA + USAGE, DONE + USAGE)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_error_in_a_stream_is_noticed_and_passes_without_keys(size: int) -> None:
    watched = passage()

    assert passed(watched, DELTA + ERROR, size) == (DELTA + ERROR.replace(b"sk-secret", b"***"), b"")
    assert watched.is_error
    watched.end()


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        ("chat", DELTA + DONE),
        ("chat", DELTA + FINISH),
        ("chat", DELTA + FINISH + PING),
        ("chat", DELTA + FINISH[:-2]),
        ("chat", DELTA + USAGE),
        ("chat", DELTA + USAGE + PING),
        ("chat", DELTA + DONE[:-2]),
        ("chat", DELTA + DONE + DELTA[:10]),
        ("tts", SPOKEN),
    ],
)
def test_stream_is_whole(kind: str, stream: bytes) -> None:
    watched = passage(kind=kind)
    watched.feed(stream)

    watched.end()


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("responses", MAX_LONG_EVENT_BYTES),
        ("messages", MAX_LONG_EVENT_BYTES),
        ("chat", MAX_EVENT_BYTES),
    ],
)
def test_event_has_the_bound_of_its_kind(kind: str, most: int) -> None:
    event = b"data: " + b"a" * (most - 6)

    passage(kind=kind).feed(event)
    with pytest.raises(ProviderBadStream, match="too long"):
        passage(kind=kind).feed(event + b"a")


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        ("chat", b""),
        ("chat", PING),
        ("chat", DELTA),
        ("chat", DELTA + FINISH[:-20]),
        ("completion", DELTA + USAGE[:-20]),
        ("chat", DELTA + DONE[:-5]),
        ("tts", SPOKEN + SPOKEN[:-10]),
    ],
)
def test_stream_is_broken_off(kind: str, stream: bytes) -> None:
    watched = passage(kind=kind)
    watched.feed(stream)

    with pytest.raises(ProviderError, match="broke off"):
        watched.end()


def test_what_comes_behind_the_last_event_is_bounded() -> None:
    watched = passage()
    watched.feed(DONE)

    assert not watched.is_enough
    watched.feed(PING * (AFTER_LAST_BYTES // len(PING) + 1))
    assert watched.is_enough


def test_event_about_the_brokers_key_does_not_blame_the_client() -> None:
    watched = passage()

    at_once, _ = passed(watched, b'data: {"error":{"message":"Invalid API Key. Get one at a.example"}}\n\n', 7)

    assert (watched.is_error, watched.is_our_key) == (True, True)
    assert b"provider_credentials" in at_once
    assert b"example" not in at_once
