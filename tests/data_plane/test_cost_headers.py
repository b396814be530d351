"""A caller that asks for it gets what its call cost; another gets the same bytes as before."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hero_broker.core.errors import ProviderReset
from hero_broker.core.money import usd_text
from hero_broker.data_plane.cost_headers import wants_cost
from hero_broker.data_plane.sse import EventSplitter, event_data
from hero_broker.limits.limit import TOKENS, USD, Limit, LimitMatch
from tests.data_plane.scripted import Head, Play, Script, run
from tests.data_plane.test_call_run import (
    DELTA,
    DONE,
    EVENTS,
    FINISH,
    SOUND,
    STREAM,
    WHOLE,
    chat,
    chat_stream,
    speech,
)
from tests.data_plane.test_endpoint import ASKED, Endpoint
from tests.limits.known import know

COST = usd_text(25_970).encode()  # 40 tokens at 0.59 USD a million, and 3 at 0.79
NAMES = (b"x-hero-cost-usd", b"x-hero-cost-source", b"x-hero-budget-left")
COMMENT = b": x-hero-cost-usd: %s\n: x-hero-cost-source: price\n\n" % COST


def played(script: Script, call: Any = chat, *, asks: bool = True, **settings: Any) -> Play:
    """Make a call that asks for its cost, from beginning to end."""

    async def whole() -> Play:
        made = call()
        context = msgspec.structs.replace(made.context, wants_cost=asks)
        play = Play([script], msgspec.structs.replace(made, context=context), **settings)
        await play.whole()
        return play

    return run(whole())


def told(play: Play) -> dict[bytes, bytes]:
    return {name: value for name, value in play.client.headers.items() if name in NAMES}


@pytest.mark.parametrize("is_slow", [False, True])
def test_whole_response_has_the_cost_of_its_row_in_its_head(is_slow: bool) -> None:
    play = played(WHOLE, client_is={"is_slow": is_slow})

    assert told(play) == {b"x-hero-cost-usd": COST, b"x-hero-cost-source": b"price"}
    assert play.ledger.rows[0].cost_nano_usd == 25_970
    assert play.client.body == played(WHOLE, asks=False).client.body


@pytest.mark.parametrize("is_slow", [False, True])
def test_stream_has_the_cost_in_a_comment_before_its_last_event(is_slow: bool) -> None:
    play, plain = (played(STREAM, chat_stream, asks=asks, client_is={"is_slow": is_slow}) for asks in (True, False))

    assert told(play) == {}
    assert play.client.body == DELTA + FINISH + COMMENT + DONE
    assert plain.client.body == DELTA + FINISH + DONE
    splitter = EventSplitter(1000)
    data = [event_data(one) for one in splitter.feed(play.client.body) if isinstance(one, bytes)]
    assert [one for one in data if one] == [event_data(one) for one in (DELTA, FINISH, DONE)]


@pytest.mark.parametrize(("script", "call"), [(WHOLE, chat), (STREAM, chat_stream), (SOUND, speech)])
def test_call_that_does_not_ask_is_told_nothing(script: Script, call: Any) -> None:
    play = played(script, call, asks=False)

    assert told(play) == {}
    assert b"x-hero" not in play.client.body


def test_sound_that_is_sent_as_it_arrives_is_unchanged() -> None:
    play = played(SOUND, speech)

    assert (told(play), play.client.body) == ({}, b"onetwo")


def test_unknown_cost_is_not_told_as_zero() -> None:
    assert told(played(WHOLE, is_priced=False)) == {}
    assert played(STREAM, chat_stream, is_priced=False).client.body == DELTA + FINISH + DONE


@pytest.mark.parametrize(
    ("script", "call"),
    [
        pytest.param([ProviderReset("")], chat, id="no response"),
        pytest.param([Head(500), b'{"error":{"message":"no"}}'], chat, id="error of the provider"),
    ],
)
def test_failed_call_is_told_what_its_row_says(script: Script, call: Any) -> None:
    play = played(script, call)
    (row,) = play.ledger.rows
    assert row.cost_nano_usd is not None

    assert told(play)[b"x-hero-cost-usd"] == usd_text(row.cost_nano_usd).encode()
    assert msgspec.json.decode(play.client.body)["error"]


def test_stream_that_breaks_off_is_told_before_its_error() -> None:
    body = played([EVENTS, DELTA, ProviderReset("")], chat_stream).client.body

    assert body.startswith(DELTA + b": x-hero-cost-usd: ")
    assert body.count(b"x-hero-cost-usd") == 1
    assert b'"error"' in body.rpartition(b"\n\ndata: ")[2]


def test_response_that_cannot_be_billed_tells_no_cost() -> None:
    play = played(WHOLE, ledger_is={"can_write": False})

    assert (play.client.status, told(play)) == (500, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"cost", True),
        (b"Cost", True),
        (b"other, cost", True),
        (b"", False),
        (b"costs", False),
        (b"cost=1", False),
        (b"\xff", False),
    ],
)
def test_words_of_the_header(value: bytes, expected: bool) -> None:
    assert wants_cost(value) is expected


def budget(name: str, amount: int, **more: Any) -> Limit:
    return Limit(name, more.pop("unit", USD), amount, **{"per": ("ip",), "window": "day", **more})


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        pytest.param([], None, id="no budget"),
        pytest.param([budget("a", 10**9), budget("b", 10**8)], b"0.09997403", id="the one with least left"),
        pytest.param([budget("a", 10**9, per=())], None, id="shared with others"),
        pytest.param([budget("a", 10**9, mode="shadow")], None, id="shadow"),
        pytest.param([budget("a", 10**9, unit=TOKENS)], None, id="tokens"),
        pytest.param(
            [budget("a", 20_000, hold="none", per=(), match=LimitMatch(ip="192.0.2.1"))], b"0", id="overspent"
        ),
    ],
)
def test_caller_is_told_what_is_left_of_its_own_budgets(
    tmp_path: Path, limits: list[Limit], left: bytes | None
) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, limits=limits)
        if limits:
            know(endpoint.admission)
        endpoint.client.whole_body = ASKED
        endpoint.begin(x_hero_want="cost")
        assert await endpoint.end() is None
        return endpoint

    headers = run(whole()).client.headers

    assert headers[b"x-hero-cost-usd"] == COST
    assert headers.get(b"x-hero-budget-left") == left
