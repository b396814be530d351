"""Limits on the path of a call: what they refuse before and after its body, and what a call holds until its end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hero_broker.core.errors import (
    BudgetExceeded,
    LedgerUnavailable,
    ModelNotPriced,
    ProviderRefused,
    ProviderReset,
    RateLimitExceeded,
    RequestExceedsLimit,
    TooManyCalls,
)
from hero_broker.limits.counters import BudgetCounter, TokenRateCounter, Used
from hero_broker.limits.limit import CONCURRENT, REQUESTS, TOKENS, USD, Dimensions, Limit, LimitMatch
from tests.data_plane.scripted import PAUSE, Head, Script, ScriptedClient, Unsent, route, run, until
from tests.data_plane.test_endpoint import ANSWER, ASKED, IP, OF_SERVER, WHOLE, Endpoint
from tests.data_plane.test_look_up import ASKED as ASKED_COUNT
from tests.data_plane.test_look_up import COUNT, COUNTED, WAYS
from tests.limits.known import know

ONE_A_MINUTE = Limit("r", REQUESTS, 1, per=("ip",), burst=1)
OF_MODEL = LimitMatch(model="m")


async def call(endpoint: Endpoint, body: bytes = ASKED) -> BaseException | None:
    """Make one call to its end, and return what was raised."""
    endpoint.sends(body)
    task = endpoint.begin()
    await until(task.done)
    return task.exception()


def test_rate_refuses_before_the_body_is_read(tmp_path: Path) -> None:
    async def whole() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(tmp_path, WHOLE, limits=[ONE_A_MINUTE])
        assert await call(endpoint) is None
        endpoint.sends(b"{}")
        endpoint.begin()
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, RateLimitExceeded)
    assert endpoint.messages.qsize() == 1
    assert len(endpoint.ledger.notes) == len(endpoint.ledger.rows) == 1


def test_rate_of_a_model_refuses_after_the_body_and_leaves_no_row(tmp_path: Path) -> None:
    async def whole() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(tmp_path, WHOLE, limits=[Limit("r", REQUESTS, 1, OF_MODEL, burst=1)])
        assert await call(endpoint) is None
        endpoint.sends(ASKED)
        endpoint.begin()
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, RateLimitExceeded)
    assert endpoint.messages.qsize() == 0
    assert len(endpoint.ledger.notes) == len(endpoint.ledger.rows) == 1


def test_response_tells_what_is_left_of_a_rate(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, limits=[Limit("r", REQUESTS, 60, per=("ip",), burst=5)])
        endpoint.client.whole_body = ASKED
        endpoint.begin()
        assert await endpoint.end() is None
        return endpoint

    headers = run(whole()).client.headers

    assert headers[b"x-ratelimit-limit-requests"] == b"60"
    assert headers[b"x-ratelimit-remaining-requests"] == b"4"
    assert headers[b"x-ratelimit-reset-requests"].endswith(b"s")


def test_request_that_is_not_sent_uses_nothing_up(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, limits=[ONE_A_MINUTE])
        for body in (b"{", b'{"model":"other","messages":[]}'):
            assert await call(endpoint, body) is not None
        assert await call(endpoint) is None
        await endpoint.end()
        return endpoint

    assert [row.outcome for row in run(whole()).ledger.rows] == ["ok"]


def test_call_that_the_journal_has_no_room_for_uses_nothing_up(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, limits=[ONE_A_MINUTE])
        endpoint.ledger._room = 0
        assert isinstance(await call(endpoint), LedgerUnavailable)
        endpoint.ledger._room = 1
        assert await call(endpoint) is None
        await endpoint.end()
        return endpoint

    assert len(run(whole()).ledger.rows) == 1


@pytest.mark.parametrize("match", [LimitMatch(), OF_MODEL], ids=["early", "late"])
def test_call_in_flight_counts_until_its_drain_has_ended(tmp_path: Path, match: LimitMatch) -> None:
    script: Script = [Head(), PAUSE, ANSWER]

    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, script, limits=[Limit("at-once", CONCURRENT, 1, match)])
        endpoint.client.whole_body = ASKED
        first = endpoint.begin()
        await endpoint.provider.paused()
        assert endpoint.in_flight == {**OF_SERVER, "at-once": 1}
        endpoint.client.leave()
        assert endpoint.in_flight == {"at-once": 1}
        assert isinstance(await call(endpoint), TooManyCalls)
        endpoint.provider.go_on()
        endpoint.task = first
        assert await endpoint.end() is None
        return endpoint

    assert [row.outcome for row in run(whole()).ledger.rows] == ["client_disconnected"]


def test_look_up_counts_as_a_request(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path, COUNTED, COUNTED, ways=WAYS, limits=[ONE_A_MINUTE])
        for _ in range(2):
            endpoint.sends(json.dumps(ASKED_COUNT).encode())
            await until(endpoint.begin(COUNT).done)
        return await endpoint.end()

    assert isinstance(run(whole()), RateLimitExceeded)


BUDGET = Limit("b", USD, 100_000, per=("ip",), window="ever")


def counted(endpoint: Endpoint, at: int = 1_700_000_000) -> tuple[int, int]:
    """Return what is spent and held of the budget of the tests."""
    counter = endpoint.admission.limits[2].counter(Dimensions(IP, None, "m", "p", "chat"))
    assert isinstance(counter, BudgetCounter)
    window = counter.at(at)
    return window.spent, window.held


def bounded(**members: int) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], **members}).encode()


def test_call_holds_of_a_budget_until_its_row_counts(tmp_path: Path) -> None:
    script: Script = [Head(), PAUSE, ANSWER]

    async def whole() -> tuple[Endpoint, tuple[int, int]]:
        endpoint = Endpoint(tmp_path, script, limits=[BUDGET])
        know(endpoint.admission)
        endpoint.sends(bounded(max_tokens=50))
        endpoint.begin()
        await endpoint.provider.paused()
        held = counted(endpoint)
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return endpoint, held

    endpoint, (spent, held) = run(whole())

    (row,) = endpoint.ledger.rows
    size = len(json.dumps([{"role": "user", "content": "hello"}]).encode())
    assert (spent, held) == (0, -(-size // 2) * 590 + 50 * 790)
    assert row.cost_nano_usd
    assert counted(endpoint) == (row.cost_nano_usd, 0)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([Unsent(), ProviderRefused("")], id="refused"),
        pytest.param([Head(500), b'{"error":{"message":"no"}}'], id="error"),
        pytest.param([Head(), b"<html>"], id="no answer"),
        pytest.param([ProviderReset("")], id="reset"),
    ],
)
def test_call_that_fails_holds_nothing_and_counts_its_row(tmp_path: Path, script: Script) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, script, limits=[BUDGET])
        know(endpoint.admission)
        endpoint.sends(bounded(max_tokens=50))
        endpoint.begin()
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    (row,) = endpoint.ledger.rows
    assert counted(endpoint) == (row.cost_nano_usd, 0)


def test_call_that_the_journal_has_no_room_for_holds_nothing(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, limits=[BUDGET])
        know(endpoint.admission)
        endpoint.ledger._room = 0
        assert isinstance(await call(endpoint, bounded(max_tokens=50)), LedgerUnavailable)
        await endpoint.end()
        return endpoint

    assert counted(run(whole())) == (0, 0)


def test_budget_refuses_what_it_does_not_cover_and_names_the_member_that_bounds_it(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path, limits=[BUDGET])
        know(endpoint.admission)
        endpoint.sends(bounded(max_tokens=1000))
        endpoint.begin()
        return await endpoint.end()

    raised = run(whole())

    assert isinstance(raised, RequestExceedsLimit)
    assert "max_tokens" in raised.message


@pytest.mark.parametrize(("most", "refused"), [(None, RequestExceedsLimit), (50, type(None))])
def test_model_that_answers_at_most_so_many_tokens_holds_no_more(
    tmp_path: Path, most: int | None, refused: type[BaseException | None]
) -> None:
    async def whole() -> BaseException | None:
        ways = [replace(route(), max_output_tokens=most)]
        endpoint = Endpoint(tmp_path, WHOLE, ways=ways, limits=[BUDGET])
        know(endpoint.admission)
        endpoint.sends(bounded(max_tokens=1000))
        endpoint.begin()
        return await endpoint.end()

    assert type(run(whole())) is refused


def test_hold_of_the_mean_is_what_the_model_answered_of_late(tmp_path: Path) -> None:
    async def whole() -> int:
        limit = replace(BUDGET, amount=10**9, hold="mean")
        endpoint = Endpoint(tmp_path, WHOLE, [Head(), PAUSE, ANSWER], limits=[limit])
        know(endpoint.admission)
        assert await call(endpoint, bounded()) is None
        endpoint.client = ScriptedClient(endpoint.order)
        endpoint.sends(bounded())
        endpoint.begin()
        await endpoint.provider.paused()
        _, held = counted(endpoint)
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return held

    size = len(json.dumps([{"role": "user", "content": "hello"}]).encode())

    assert run(whole()) == -(-size // 4) * 590 + 3 * 790  # it answered 3 tokens


def test_tokens_per_minute_are_those_of_the_row(tmp_path: Path) -> None:
    async def whole() -> tuple[Endpoint, int]:
        limit = Limit("t", TOKENS, 1, per=("ip",), burst=1000)  # one comes back in a minute
        endpoint = Endpoint(tmp_path, WHOLE, limits=[limit])
        assert await call(endpoint, bounded(max_tokens=500)) is None
        counter = next(one for one in endpoint.admission.limits if one.limit is limit).counter(Dimensions(IP))
        assert isinstance(counter, TokenRateCounter)
        return endpoint, counter.remaining(endpoint.admission.now_ns())

    endpoint, remaining = run(whole())

    (row,) = endpoint.ledger.rows
    assert row.input_tokens
    assert row.output_tokens
    assert remaining == 1000 - row.input_tokens - row.output_tokens


def test_model_without_a_price_is_refused_under_a_budget(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path, ways=[route(is_priced=False)], limits=[BUDGET])
        know(endpoint.admission)
        endpoint.sends(ASKED)
        endpoint.begin()
        return await endpoint.end()

    assert isinstance(run(whole()), ModelNotPriced)


def test_look_up_passes_a_spent_budget_and_holds_nothing_of_it(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, COUNTED, ways=WAYS, limits=[BUDGET])
        know(endpoint.admission, [(0, Dimensions(IP, None, "m", "p", "chat"), Used(100_000, 0, 0))])
        endpoint.sends(json.dumps(ASKED_COUNT).encode())
        endpoint.begin(COUNT)
        assert await endpoint.end() is None
        return endpoint

    assert counted(run(whole())) == (100_000, 0)


def test_look_up_of_an_address_that_has_no_tokens_left_is_refused_unread(tmp_path: Path) -> None:
    async def whole() -> tuple[Endpoint, BaseException | None]:
        limit = Limit("b", TOKENS, 10, per=("ip",), window="ever")
        endpoint = Endpoint(tmp_path, ways=WAYS, limits=[limit])
        know(endpoint.admission, [(0, Dimensions(IP, None, "m", "p", "chat"), Used(0, 9, 1))])
        endpoint.sends(json.dumps(ASKED_COUNT).encode())
        endpoint.begin(COUNT)
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, BudgetExceeded)
    assert endpoint.messages.qsize() == 1
