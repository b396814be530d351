"""Every way in which a call can end: its row, what its client got, and in which order."""

import asyncio
import gzip
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import aiohttp
import msgspec
import pytest

from hero_broker.core.calls import Verdict
from hero_broker.core.errors import (
    BodyTimeout,
    BrokerError,
    ClientLeft,
    LedgerUnavailable,
    ProviderBadAnswer,
    ProviderRefused,
    ProviderReset,
    ProviderTimeout,
)
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.call_run import AFTER_LAST_S, ESTIMATE_TIMEOUT_S, MAX_ERROR_BYTES
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.event_stream import AFTER_LAST_BYTES
from hero_broker.data_plane.exchange import INTERRUPT_TIMEOUT_S
from hero_broker.metering.billing_row import interrupted_row
from tests.data_plane.scripted import (
    KEY,
    LIMITS,
    PAUSE,
    Form,
    Head,
    Play,
    Script,
    Unsent,
    WordCounter,
    form_call,
    json_call,
    run,
    skip,
    turns,
    until,
)

ASKED = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]%s}'
USAGE = b'"usage":{"prompt_tokens":40,"completion_tokens":3}'
EVENTS = Head(content_type="text/event-stream")
DELTA = b'data: {"choices":[{"delta":{"content":"yes no"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],%s}\n\n' % USAGE
DONE = b"data: [DONE]\n\n"
ANSWER = b'{"choices":[{"message":{"content":"yes no"}}],%s}' % USAGE


@dataclass(frozen=True)
class Shape:
    """A form in which a response comes."""

    head: Head
    parts: tuple[bytes, bytes]
    units: tuple[int | None, ...]  # input and output tokens, characters and milliseconds, as reported
    call: Callable[[], ClientCall]
    relays: bool = True  # its head is relayed before its end


def chat() -> ClientCall:
    return json_call("chat", ASKED % b"")


def chat_stream() -> ClientCall:
    return json_call("chat", ASKED % b',"stream":true')


def speech() -> ClientCall:
    return json_call("tts", b'{"model":"m","voice":"v","input":"0123456789"}')


FORMS = {
    "whole": Shape(Head(), (ANSWER[:20], ANSWER[20:]), (40, 3, None, None), chat, relays=False),
    "events": Shape(EVENTS, (DELTA, FINISH + DONE), (40, 3, None, None), chat_stream),
    "chunks": Shape(Head(content_type="audio/mpeg"), (b"one", b"two"), (None, None, 10, None), speech),
    "upload": Shape(
        Head(),
        (b'{"text":"yes",', b'"usage":{"type":"duration","seconds":2}}'),
        (None, None, None, 2000),
        lambda: form_call(Form()),
        relays=False,
    ),
}
POINTS = ("not sent", "sent", "head", "piece")
WAYS = {
    "goes on": ("ok", None),
    "provider breaks off": ("provider_error", "provider_reset"),
    "provider is silent": ("provider_error", "provider_timeout"),
    "fault of ours": ("internal_error", "internal_error"),
    "client leaves, drained": ("client_disconnected", "client_disconnected"),
    "client leaves, drain takes too long": ("client_disconnected", "client_disconnected"),
    "client leaves, no drain": ("client_disconnected", "client_disconnected"),
    "client leaves, too many drains": ("client_disconnected", "client_disconnected"),
    "broker stops": ("interrupted", "interrupted"),
    "broker stops, the call ends within its grace": ("ok", None),
    "broker stops, the call ends after its grace": ("interrupted", "interrupted"),
    "client leaves, then the broker stops": ("interrupted", "interrupted"),
}
COMPLETE = ("goes on", "client leaves, drained", "broker stops, the call ends within its grace")


def failure_at(way: str, point: str) -> Exception | None:
    """Return what fails in the middle of the response, if anything."""
    has_head = point in ("head", "piece")
    if way == "provider breaks off":
        return aiohttp.ClientPayloadError() if has_head else ProviderReset("")
    if way == "provider is silent":
        return aiohttp.SocketTimeoutError() if has_head else ProviderTimeout("", may_charge=point == "sent")
    return ZeroDivisionError() if way == "fault of ours" else None


def script(shape: Shape, point: str, way: str) -> Script:
    """Return the script of a provider that comes to `point`, where it waits or fails."""
    step = failure_at(way, point) or PAUSE
    first, second = shape.parts
    scripts: dict[str, Script] = {
        "not sent": [Unsent(), step],
        "sent": [step, shape.head, first, second],
        "head": [shape.head, step, first, second],
        "piece": [shape.head, first, step, second],
    }
    return scripts[point]


async def meet(play: Play, way: str) -> None:
    """Do to the call what happens to it at its pause."""
    await play.provider.paused()
    if way.startswith("client leaves"):
        play.client.leave()
        await turns()
    if way == "client leaves, drain takes too long":
        skip(LIMITS.drain_max_s + 1)
    elif way in ("broker stops", "client leaves, then the broker stops"):
        await play.exchange.close(0)
    elif way == "broker stops, the call ends after its grace":
        closing = asyncio.ensure_future(play.exchange.close(5))
        await turns()
        assert not play.task.done()
        skip(6)
        await closing
    elif way == "broker stops, the call ends within its grace":
        closing = asyncio.ensure_future(play.exchange.close(5))
        await turns()
        play.provider.go_on()
        await closing
    elif way in COMPLETE:
        play.provider.go_on()


def usage_of(row: RequestLog) -> tuple[int | None, ...]:
    return row.input_tokens, row.output_tokens, row.characters, row.audio_ms


def cost_of(row: RequestLog) -> int:
    """Return what the row's units cost, in nano-USD."""
    rates = (590, 790, 15_000, 100)
    return sum(rate * (units or 0) for rate, units in zip(rates, usage_of(row), strict=True))


def source(form: str, point: str, way: str) -> str:
    """Return the usage source that the specification's table of outcomes demands."""
    if point == "not sent" or (point == "sent" and way == "provider breaks off"):
        return "none"
    # The characters of the request are known, once the provider may charge for them.
    is_known = form == "chunks" and (point != "sent" or way == "provider is silent")
    return "reported" if is_known or way in COMPLETE else "estimated"


CASES = [
    (form, point, way)
    for form, point, way in itertools.product(FORMS, POINTS, WAYS)
    # A call of which nothing was sent ends as soon as its client leaves, and cannot complete.
    if point != "not sent" or way not in ("goes on", COMPLETE[2], "client leaves, then the broker stops")
]


@pytest.mark.parametrize(("form_name", "point", "way"), CASES)
def test_call_ends(form_name: str, point: str, way: str) -> None:
    form, (outcome, code) = FORMS[form_name], WAYS[way]
    has_head = point in ("head", "piece")
    limits = LIMITS
    if way == "client leaves, no drain":
        limits = replace(LIMITS, drain=False)
    elif way == "client leaves, too many drains":
        limits = replace(LIMITS, drain_max_calls=0)

    async def played() -> tuple[Play, RequestLog]:
        play = Play([script(form, point, way)], form.call(), limits)
        play.begin()
        if failure_at(way, point) is None:
            await meet(play, way)
        return play, await play.end()

    play, row = run(played())
    client, leaves = play.client, way.startswith("client leaves")

    if way == "provider breaks off" and has_head:
        code = "provider_unreachable"
    assert (row.outcome, row.error_code) == (outcome, code)
    assert row.usage_source == source(form_name, point, way)
    if row.usage_source == "reported":
        assert usage_of(row) == form.units
    assert (usage_of(row) == (None,) * 4) == (row.usage_source == "none")
    if row.usage_source == "estimated" and form.units[1] is not None:
        words = {"whole": 1, "events": 2}[form_name]  # that came before the call ended
        assert row.output_tokens == (words if point == "piece" else 0)
    assert row.cost_nano_usd == cost_of(row)
    assert play.released == leaves
    has_response = has_head or (way in COMPLETE and point == "sent")
    assert play.provider.closed == ([way in COMPLETE] if has_response else [])
    if isinstance(play.call.upload, Form):
        assert play.call.upload.closed == 1

    relayed = b"" if not has_head or point == "head" or form_name == "chunks" else form.parts[0]
    has_begun = has_head and form.relays
    if leaves:
        assert client.is_aborted
        assert client.body == (relayed if form.relays else b"")
        assert client.status == (200 if has_begun else None)
        status = 200 if has_begun or (has_response and outcome != "interrupted") else None
        assert row.http_status == (500 if status is None and outcome == "interrupted" else status)
    elif way in COMPLETE:
        assert (client.status, row.http_status, client.is_complete) == (200, 200, True)
        assert client.body == b"".join(form.parts)
    elif not has_begun:
        expected = {"provider_timeout": 504, "interrupted": 500, "internal_error": 500}.get(str(code), 502)
        assert (client.status, row.http_status, client.is_complete) == (expected, expected, True)
        assert msgspec.json.decode(client.body)["error"]["code"] == code
    elif form_name == "events":
        assert (client.status, row.http_status, client.is_complete) == (200, 200, True)
        assert client.body.startswith(relayed + b"data: ")
        assert msgspec.json.decode(client.body.removeprefix(relayed + b"data: "))["error"]["code"] == code
    else:
        assert (client.status, row.http_status, client.is_aborted, client.body) == (200, 200, True, relayed)


def played(script: Script, call: Callable[[], ClientCall] = chat, **settings: Any) -> Play:
    """Make a call from beginning to end; return all that it met."""

    async def whole() -> Play:
        play = Play([script], call(), **settings)
        await play.whole()
        return play

    return run(whole())


def error_of(play: Play) -> dict[str, Any]:
    """Return the error that the client got."""
    body = play.client.body
    data = body[body.rfind(b"data: ") + 6 :] if b"data: " in body else body
    return msgspec.json.decode(data, type=dict[str, dict[str, Any]])["error"]


WHOLE: Script = [Head(), ANSWER]
STREAM: Script = [EVENTS, DELTA, FINISH + DONE]
SOUND: Script = [FORMS["chunks"].head, b"one", b"two"]


@pytest.mark.parametrize(
    ("script", "call", "order"),
    [
        pytest.param(WHOLE, chat, ["note", "closed", "row", "observed", "head", "end"], id="whole"),
        pytest.param(
            STREAM, chat_stream, ["note", "head", "piece", "piece", "closed", "row", "observed", "end"], id="events"
        ),
        pytest.param(SOUND, speech, ["note", "head", "piece", "closed", "row", "observed", "end"], id="chunks"),
        pytest.param([ProviderReset("")], chat, ["note", "row", "observed", "head", "end"], id="error"),
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
def test_tail_leaves_after_the_row(
    script: Script, call: Callable[[], ClientCall], order: list[str], is_slow: bool
) -> None:
    assert played(script, call, client_is={"is_slow": is_slow}).order == order


def test_flush_comes_between_the_row_and_the_tail() -> None:
    play = played(WHOLE, fsync=True)

    assert play.order == ["note", "closed", "row", "observed", "flush", "head", "end"]
    assert play.client.body == ANSWER


@pytest.mark.parametrize(
    ("fsync", "ledger_is"),
    [
        pytest.param(False, {"can_write": False}, id="row cannot be written"),
        pytest.param(True, {"can_write": False}, id="row cannot be written, with fsync"),
        pytest.param(True, {"flush_failure": OSError(28, "No space left on device")}, id="row cannot be flushed"),
    ],
)
@pytest.mark.parametrize("form_name", ["whole", "events", "chunks"])
def test_answer_that_cannot_be_billed_is_withheld(form_name: str, fsync: bool, ledger_is: dict[str, Any]) -> None:
    form = FORMS[form_name]
    play = played([form.head, *form.parts], form.call, fsync=fsync, ledger_is=ledger_is)

    assert ("flush" in play.order) == ("flush_failure" in ledger_is)
    (row,) = play.ledger.rows
    assert (row.outcome, row.cost_nano_usd) == ("ok", cost_of(row))
    if form_name == "chunks":
        assert (play.client.body, play.client.is_aborted) == (b"one", True)
    else:
        assert error_of(play)["code"] == "internal_error"
        assert not play.client.body.endswith(DONE)
        assert play.client.status == (500 if form_name == "whole" else 200)


BARE_ANSWER = b'{"choices":[{"message":{"content":"yes no"}}]}'
NO_USAGE: Script = [Head(), BARE_ANSWER]


def test_answer_without_usage_is_estimated_by_its_words() -> None:
    (row,) = played(NO_USAGE).ledger.rows

    assert (row.outcome, row.usage_source, row.output_tokens) == ("ok", "estimated", 2)
    assert row.input_tokens is not None
    assert row.input_tokens >= 3


@pytest.mark.parametrize("way", ["fails", "takes too long", "is cut by the stop"])
def test_estimate_that_does_not_come_is_replaced_by_a_rough_one(way: str) -> None:
    async def whole() -> tuple[Play, RequestLog]:
        counter = WordCounter(ZeroDivisionError() if way == "fails" else None, blocks=way != "fails")
        play = Play([NO_USAGE], chat(), counter=counter)
        play.begin()
        await until(lambda: counter.has_begun)
        if way == "takes too long":
            skip(ESTIMATE_TIMEOUT_S + 0.1)
        elif way != "fails":
            await play.exchange.close(0)
        return play, await play.end()

    play, row = run(whole())

    assert (row.outcome, row.usage_source) == ("ok", "estimated")
    assert row.output_tokens == len(BARE_ANSWER) // 4
    assert row.cost_nano_usd == cost_of(row)
    assert play.client.body == BARE_ANSWER


def test_stop_ends_the_estimate_of_a_call_that_it_interrupts() -> None:
    async def whole() -> tuple[Play, RequestLog]:
        counter = WordCounter(blocks=True)
        play = Play([[Head(), ANSWER[:20], PAUSE]], chat(), counter=counter)
        play.begin()
        await play.provider.paused()
        closing = asyncio.ensure_future(play.exchange.close(0))
        await until(lambda: counter.has_begun)
        assert not play.ledger.rows
        skip(INTERRUPT_TIMEOUT_S + 0.1)
        await turns(100)
        assert closing.done()
        return play, await play.end()

    play, row = run(whole())

    assert (row.outcome, row.usage_source, row.output_tokens) == ("interrupted", "estimated", 20 // 4)
    assert error_of(play)["code"] == "interrupted"


def test_drain_ends_when_the_provider_has_sent_enough_tokens() -> None:
    async def whole() -> tuple[Play, RequestLog]:
        script: Script = [EVENTS, DELTA, PAUSE, DELTA, DELTA, PAUSE, *[DELTA] * 100]
        play = Play([script], chat_stream(), replace(LIMITS, drain_max_tokens=3))
        play.begin()
        await play.provider.paused()
        play.client.leave()
        play.provider.go_on()
        return play, await play.end()

    play, row = run(whole())

    assert (row.outcome, row.usage_source) == ("client_disconnected", "estimated")
    assert row.output_tokens == len(["yes", "noyes", "noyes", "no"])
    assert play.client.body == DELTA
    assert play.provider.closed == [False]


def test_drain_that_has_ended_leaves_its_place_to_another() -> None:
    async def whole() -> list[str | None]:
        sources: list[str | None] = []
        script: Script = [Head(), PAUSE, ANSWER]
        play = Play([script, script], chat(), replace(LIMITS, drain_max_calls=1))
        for _ in range(2):
            play.provider.is_paused = False
            play.provider._go_on.clear()
            play.begin()
            await play.provider.paused()
            play.client.leave()
            await turns()
            play.provider.go_on()
            await until(play.task.done)
            sources.append(play.ledger.rows[-1].usage_source)
        play.estimates.close()
        return sources

    assert run(whole()) == ["reported", "reported"]


KEY_TEXT = b'{"error":{"message":"no %s"}}' % KEY.encode()


@pytest.mark.parametrize(
    ("script", "call", "status", "code", "client_code", "verdict"),
    [
        pytest.param([Head(429), KEY_TEXT], chat, 429, "provider_429", "provider_429", Verdict.ANSWERED, id="429"),
        pytest.param([Head(418), b"?"], chat, 502, "provider_418", "provider_418", Verdict.ANSWERED, id="418"),
        pytest.param([Head(204)], chat, 502, "provider_204", "provider_204", Verdict.FAILED, id="204"),
        pytest.param(
            [Head(401), b"{}"], chat, 502, "provider_401", "provider_credentials", Verdict.KEY_REFUSED, id="401"
        ),
        pytest.param(
            [Head(400), b'{"error":{"code":"invalid_api_key"}}'],
            chat,
            502,
            "provider_credentials",
            "provider_credentials",
            Verdict.KEY_REFUSED,
            id="key in 400",
        ),
        pytest.param([Head(), KEY_TEXT], chat, 502, "provider_200", "provider_200", Verdict.FAILED, id="error in 200"),
        pytest.param(
            [Head(503), b'{"error":{"message":"bus', aiohttp.ClientPayloadError()],
            chat,
            503,
            "provider_503",
            "provider_503",
            Verdict.ANSWERED,
            id="error that breaks off",
        ),
        pytest.param(
            [EVENTS, DELTA, b"data: " + KEY_TEXT + b"\n\n"],
            chat_stream,
            200,
            "provider_200",
            None,
            Verdict.FAILED,
            id="error event",
        ),
        pytest.param(
            [EVENTS, b'data: {"error":{"code":"invalid_api_key"}}\n\n'],
            chat_stream,
            200,
            "provider_credentials",
            "provider_credentials",
            Verdict.KEY_REFUSED,
            id="key in an event",
        ),
        pytest.param(
            [Head(), b"<html>"], chat, 502, "provider_bad_answer", "provider_bad_answer", Verdict.FAILED, id="no JSON"
        ),
        pytest.param(
            [Head(more=(("content-encoding", "br"),)), b"?"],
            chat,
            502,
            "provider_bad_answer",
            "provider_bad_answer",
            Verdict.FAILED,
            id="unknown coding",
        ),
        pytest.param(
            [Head(), ANSWER * 20],
            chat,
            502,
            "provider_answer_too_long",
            "provider_answer_too_long",
            Verdict.FAILED,
            id="too long",
        ),
    ],
)
def test_error_of_the_provider_reaches_the_client_without_keys(
    script: Script, call: Callable[[], ClientCall], status: int, code: str, client_code: str | None, verdict: Verdict
) -> None:
    play = played(script, call)

    (row,) = play.ledger.rows
    assert (row.outcome, row.http_status, row.error_code) == ("provider_error", status, code)
    assert (row.usage_source == "none") == (row.cost_nano_usd == 0)
    assert error_of(play).get("code") == client_code
    assert KEY.encode() not in play.client.body
    assert [one.verdict for one in play.watching.seen[0].attempts] == [verdict]


def test_error_body_is_read_to_a_bound() -> None:
    play = played([Head(500), *[b"x" * (MAX_ERROR_BYTES // 4)] * 10])

    assert play.provider.closed == [False]
    assert play.ledger.rows[0].error_code == "provider_500"


def test_answer_that_only_a_lenient_parser_reads_is_passed_on() -> None:
    body = b'\xef\xbb\xbf{"choices":[{"message":{"content":"yes"}}]}'
    play = played([Head(), body])

    assert (play.client.status, play.client.body, play.ledger.rows[0].outcome) == (200, body, "ok")


def test_row_tells_that_its_usage_contradicts_itself() -> None:
    usage = b'"prompt_tokens":9,"completion_tokens":10,"total_tokens":49,"prompt_tokens_details":{"cached_tokens":12}'
    body = b'{"choices":[1],"usage":{%s}}' % usage

    (row,) = played([Head(), body]).ledger.rows
    (clean,) = played([Head(), b'{"choices":[1]}']).ledger.rows

    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (9, 9, 10)
    assert (row.cut_counts, row.unexplained_tokens) == ("cached_input_tokens", 30)
    assert (clean.cut_counts, clean.unexplained_tokens) == (None, None)


def test_stream_is_read_for_a_while_after_its_last_event() -> None:
    async def whole() -> tuple[Play, RequestLog]:
        play = Play([[EVENTS, DELTA, FINISH + DONE, PAUSE]], chat_stream())
        play.begin()
        await play.provider.paused()
        assert play.client.body == DELTA + FINISH
        assert not play.ledger.rows
        skip(AFTER_LAST_S + 0.1)
        return play, await play.end()

    play, row = run(whole())

    assert (row.outcome, row.usage_source) == ("ok", "reported")
    assert play.client.body == DELTA + FINISH + DONE
    assert play.provider.closed == [False]


def test_stream_that_goes_on_after_its_last_event_is_cut_at_a_bound() -> None:
    more = b": " + b"x" * 10_000 + b"\n\n"
    play = played([EVENTS, DELTA, FINISH + DONE, *[more] * 20], chat_stream)

    assert (play.ledger.rows[0].outcome, play.client.is_complete) == ("ok", True)
    assert AFTER_LAST_BYTES < len(play.client.body) < AFTER_LAST_BYTES + 2 * len(more) + 1000


def test_stream_that_breaks_off_after_its_last_event_is_whole() -> None:
    play = played([EVENTS, DELTA, FINISH + DONE, aiohttp.ClientPayloadError()], chat_stream)

    assert (play.ledger.rows[0].outcome, play.client.body) == ("ok", DELTA + FINISH + DONE)


@pytest.mark.parametrize("script", [[EVENTS, DELTA], [EVENTS, DELTA, b'data: {"cho']])
def test_stream_without_its_end_is_an_error(script: Script) -> None:
    play = played(script, chat_stream)

    row = play.ledger.rows[0]
    assert (row.outcome, row.error_code, row.usage_source) == ("provider_error", "stream_broke_off", "estimated")
    assert error_of(play)["code"] == "stream_broke_off"


def test_event_that_is_too_long_is_an_error() -> None:
    play = played([EVENTS, DELTA, *[b"data: " + b"x" * 50_000] * 400], chat_stream)

    assert play.ledger.rows[0].error_code == "provider_bad_stream"


def test_stream_that_is_declared_as_something_else_is_relayed_as_events() -> None:
    play = played([Head(content_type="text/plain"), DELTA, FINISH + DONE], chat_stream)

    assert play.client.headers[b"content-type"] == b"text/event-stream"
    assert (play.client.body, play.ledger.rows[0].usage_source) == (DELTA + FINISH + DONE, "reported")


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_length_of_chunks_is_passed_on_unless_they_are_decoded(encoding: str | None) -> None:
    sound = b"onetwo" if encoding is None else gzip.compress(b"onetwo")
    more = [("content-length", str(len(sound)))] + ([("content-encoding", encoding)] if encoding else [])
    play = played([Head(content_type="audio/mpeg", more=tuple(more)), sound], speech)

    assert play.client.body == b"onetwo"
    assert play.client.headers.get(b"content-length") == (b"6" if encoding is None else None)


@pytest.mark.parametrize("way", ["fails_at", "blocks_at"])
@pytest.mark.parametrize(
    ("form_name", "at"), [("whole", 0), ("whole", 1), ("events", 0), ("events", 1), ("chunks", 0), ("chunks", 1)]
)
def test_client_that_takes_nothing_pays(form_name: str, at: int, way: str) -> None:
    form = FORMS[form_name]

    async def whole() -> tuple[Play, RequestLog]:
        play = Play([[form.head, *form.parts]], form.call(), client_is={"is_slow": True, way: at})
        play.begin()
        if way == "blocks_at":
            await until(lambda: play.client.messages > at)
            skip(LIMITS.idle_s + 1)
        return play, await play.end()

    play, row = run(whole())

    # A whole answer is billed before it is sent: that its client does not take it comes too late for the row.
    assert row.outcome == ("ok" if form_name == "whole" else "client_disconnected")
    assert (row.usage_source, row.cost_nano_usd) == ("reported", cost_of(row))
    assert (play.client.is_aborted, play.released) == (True, 1)


def test_stop_does_not_wait_for_a_client_that_takes_nothing() -> None:
    async def whole() -> tuple[Play, RequestLog]:
        play = Play([WHOLE], chat(), client_is={"is_slow": True, "blocks_at": 0})
        play.begin()
        await until(lambda: play.client.messages)
        await play.exchange.close(0)
        return play, await play.end()

    play, row = run(whole())

    assert (row.outcome, row.usage_source) == ("ok", "reported")
    assert play.client.is_aborted


def test_stop_without_calls_ends_at_once() -> None:
    async def whole() -> None:
        play = Play([], chat())
        await play.exchange.close(5)
        play.estimates.close()

    run(whole())


def test_client_that_has_left_before_is_not_called_for() -> None:
    play = played([], client_is={"has_left": True})

    row = play.ledger.rows[0]
    assert (row.outcome, row.usage_source, row.cost_nano_usd, play.provider.urls) == (
        "client_disconnected",
        "none",
        0,
        [],
    )


@pytest.mark.parametrize("call", [chat, lambda: form_call(Form())], ids=["chat", "upload"])
@pytest.mark.parametrize(
    ("script", "usage"),
    [
        pytest.param([Unsent(), ProviderBadAnswer("")], "none", id="nothing was sent"),
        pytest.param([ProviderBadAnswer("", may_charge=True)], "estimated", id="it was sent"),
    ],
)
def test_answer_that_cannot_be_read_is_billed_if_the_call_was_sent(
    script: Script, usage: str, call: Callable[[], ClientCall]
) -> None:
    (row,) = played(script, call).ledger.rows

    assert (row.outcome, row.error_code, row.usage_source) == ("provider_error", "provider_bad_answer", usage)
    assert row.cost_nano_usd == (0 if usage == "none" else cost_of(row))
    assert (row.cost_nano_usd == 0) == (usage == "none")


@pytest.mark.parametrize("failure", [ClientLeft("left"), BodyTimeout("late")])
def test_upload_that_fails_ends_its_call(failure: BrokerError) -> None:
    form = Form(failure)
    play = played([ProviderReset("")], lambda: form_call(form))

    row = play.ledger.rows[0]
    assert (row.outcome, row.error_code, row.http_status) == ("client_disconnected", failure.code, failure.status)
    assert (error_of(play)["code"], form.closed, play.watching.seen[0].attempts) == (failure.code, 1, [])


def two(first: Script, second: Script, *, call: ClientCall, leaves: bool = False, **ledger_is: Any) -> Play:
    """Make a call that has two targets."""

    async def whole() -> Play:
        play = Play([first, second], call, targets=2, ledger_is=ledger_is)
        play.begin()
        if leaves:
            await play.provider.paused()
            play.provider.go_on()  # the provider fails in the moment in which the client leaves
            play.client.leave()
        await play.end()
        return play

    return run(whole())


def test_second_target_serves_and_bills_what_the_first_did_not_get() -> None:
    play = two([Unsent(), ProviderRefused("")], WHOLE, call=chat())

    row = play.ledger.rows[0]
    assert (row.outcome, row.provider, row.attempts, row.cost_nano_usd) == ("ok", "q", 2, cost_of(row))
    assert (row.model, row.upstream_model) == ("m", "m2")
    assert (row.first_error, row.error_code) == ("provider_refused", None)
    assert play.order == ["note", "note", "closed", "row", "observed", "head", "end"]
    assert play.provider.urls == ["http://p/v1/chat/completions", "http://q/v1/chat/completions"]
    assert [b'"m2"' in cast(bytes, body) for body in play.provider.bodies] == [False, True]
    assert [(note.provider, note.attempts) for note in play.ledger.notes] == [("p", 1), ("q", 2)]
    assert [(one.provider, one.verdict, one.code) for one in play.watching.seen[0].attempts] == [
        ("p", Verdict.FAILED, "provider_refused"),
        ("q", Verdict.ANSWERED, None),
    ]
    assert interrupted_row(play.ledger.notes[-1]).row.attempts == 2


def test_call_whose_targets_all_fail_has_one_row_of_the_last() -> None:
    play = two([Unsent(), ProviderRefused("")], [ProviderTimeout("", may_charge=True)], call=chat())

    row = play.ledger.rows[0]
    assert (row.outcome, row.error_code, row.attempts, row.provider) == ("provider_error", "provider_timeout", 2, "q")
    assert (row.usage_source, row.first_error, row.provider_key) == ("estimated", "provider_refused", None)


def test_row_has_the_fingerprint_of_the_key_and_no_error_if_the_first_attempt_serves() -> None:
    row = played(WHOLE).ledger.rows[0]

    assert (row.first_error, row.provider_key) == (None, hashlib.sha256(KEY.encode()).hexdigest()[:8])


def test_error_of_the_only_attempt_is_the_first_one() -> None:
    row = played([ProviderReset("")]).ledger.rows[0]

    assert (row.error_code, row.first_error) == ("provider_reset", "provider_reset")


@pytest.mark.parametrize(
    ("name", "requested"),
    [
        pytest.param("m", None, id="its own"),
        pytest.param("p/m", "p/m", id="another"),
        pytest.param("x" * 300, "x" * 200, id="long"),
    ],
)
def test_row_has_the_name_by_which_the_client_asked_for_the_model(name: str, requested: str | None) -> None:
    call = json_call("chat", b'{"model":"%s","messages":[]}' % name.encode())

    play = played(WHOLE, lambda: call)

    assert (play.ledger.rows[0].model, play.ledger.rows[0].requested_model) == ("m", requested)
    assert interrupted_row(play.ledger.notes[0]).row.requested_model == requested


@pytest.mark.parametrize(
    ("first", "call", "leaves", "ledger_is"),
    [
        pytest.param([ProviderReset("")], chat, False, {}, id="something was sent"),
        pytest.param([Unsent(), ProviderRefused("")], lambda: form_call(Form()), False, {}, id="a form"),
        pytest.param([Unsent(), ProviderRefused("")], chat, False, {"room": 1}, id="no room"),
        pytest.param([Unsent(), PAUSE, ProviderRefused("")], chat, True, {}, id="nobody waits"),
    ],
)
def test_second_target_is_not_tried(
    first: Script, call: Callable[[], ClientCall], leaves: bool, ledger_is: dict[str, Any]
) -> None:
    play = two(first, WHOLE, call=call(), leaves=leaves, **ledger_is)

    row = play.ledger.rows[0]
    assert (len(play.provider.urls), row.provider, row.attempts, row.cost_nano_usd) == (1, "p", 1, 0)
    assert row.outcome == "provider_error"


def test_durations_are_the_clocks() -> None:
    async def whole() -> RequestLog:
        play = Play([[EVENTS, DELTA, PAUSE, FINISH + DONE]], chat_stream())
        play.begin()
        await play.provider.paused()
        play.clock.seconds = 1.5
        play.provider.go_on()
        return await play.end()

    row = run(whole())

    assert (row.first_byte_ms, row.duration_ms) == (0, 1500)


def test_journal_without_room_refuses_before_anything_is_sent() -> None:
    async def whole() -> Play:
        play = Play([], chat(), ledger_is={"room": 0})
        with pytest.raises(LedgerUnavailable):
            play.begin()
        play.estimates.close()
        return play

    play = run(whole())
    assert (play.provider.urls, play.ledger.rows, play.order) == ([], [], [])


@pytest.mark.parametrize(
    ("script", "cost"),
    [
        pytest.param([ProviderReset("")], 0, id="not reached"),
        pytest.param([Head(400), b"{}"], 0, id="refused"),
        pytest.param(WHOLE, None, id="answered"),
        pytest.param([ProviderTimeout("", may_charge=True)], None, id="may charge"),
    ],
)
def test_call_without_a_price_costs_nothing_only_if_nothing_is_charged(script: Script, cost: int | None) -> None:
    (row,) = played(script, is_priced=False).ledger.rows

    assert (row.cost_nano_usd, row.cost_source) == (cost, None)
