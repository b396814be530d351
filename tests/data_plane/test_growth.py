"""What a stream holds of budgets grows with its output; a budget may cut the stream instead of running over."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hero_broker.core.calls import Outcome
from hero_broker.core.records import RequestLog
from hero_broker.limits.counters import BudgetCounter, LimitCounters, WindowSum
from hero_broker.limits.limit import Dimensions, Limit
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import PAUSE, Head, Script, ScriptedClient, route, run
from tests.data_plane.test_call_run import DELTA, DONE, EVENTS, FINISH
from tests.data_plane.test_endpoint import IP, Endpoint
from tests.limits.known import know

HELD = 4096  # tokens of output, without max_tokens
BUDGET = Limit("b", "output_tokens", HELD + 1000, per=("ip",), window="ever", on_exceed="cut")
AT_ONCE = 500  # deltas in a piece of a stream
MOST = 3276  # the most tokens for which nothing grows


class Stream:
    """A stream and the budgets that count it."""

    def __init__(
        self, tmp_path: Path, script: Script, *limits: Limit, ways: Sequence[Route] = (), **members: object
    ) -> None:
        self.endpoint = Endpoint(tmp_path, script, ways=ways, limits=limits)
        know(self.endpoint.admission)
        self.endpoint.client = client = Client(self.endpoint.order)
        client.stream = self
        self.held: list[int] = []  # each other amount that was held while the client got the stream
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True, **members}
        self.endpoint.sends(json.dumps(body).encode())

    @property
    def row(self) -> RequestLog:
        (row,) = self.endpoint.ledger.rows
        return row

    @property
    def sent(self) -> list[bytes]:
        """The events that the client got."""
        return [event + b"\n\n" for event in self.endpoint.client.body.split(b"\n\n") if event]

    def limit(self, number: int = 0) -> LimitCounters:
        return self.endpoint.admission.limits[2 + number]

    def window(self, number: int = 0) -> WindowSum:
        counter = self.limit(number).counter(Dimensions(IP, None, "m", "p", "chat"))
        assert isinstance(counter, BudgetCounter)
        return counter.at(1_700_000_000)

    def answered(self, tokens: int) -> None:
        """Let the model have answered so many tokens before."""
        outputs = self.endpoint.exchange._outputs
        assert outputs is not None
        outputs._tokens["m"] = deque([tokens])

    async def whole(self) -> "Stream":
        self.endpoint.begin()
        assert await self.endpoint.end() is None
        return self


class Client(ScriptedClient):
    """A client that notes what is held of the first budget each time that it gets a piece."""

    stream: Stream

    def send_chunk(self, piece: bytes) -> bool:
        held = self.stream.window().held
        if self.stream.held[-1:] != [held]:
            self.stream.held.append(held)
        return super().send_chunk(piece)


def deltas(count: int) -> list[bytes]:
    """Return pieces with as many deltas."""
    return [DELTA * min(AT_ONCE, count - begin) for begin in range(0, count, AT_ONCE)]


def play(tmp_path: Path, script: Script, *limits: Limit, ways: Sequence[Route] = (), **members: object) -> Stream:
    """Make a call to its end."""

    async def whole() -> Stream:
        return await Stream(tmp_path, script, *limits, ways=ways, **members).whole()

    return run(whole())


def test_stream_that_needs_more_than_is_left_is_cut_with_an_error_and_billed_by_what_was_seen(tmp_path: Path) -> None:
    stream = play(tmp_path, [EVENTS, *deltas(MOST), *deltas(2), *deltas(1), FINISH + DONE], BUDGET)

    error = json.loads(stream.sent[-1].removeprefix(b"data: "))["error"]
    assert stream.held == [HELD]
    assert stream.sent[:-1] == [DELTA] * (MOST + 2)
    assert (error["code"], error["type"]) == ("budget_exceeded", "insufficient_quota")
    assert error["message"] == (
        f"The budget 'b' of {HELD + 1000} output tokens for ever for {IP} does not cover the rest of this response."
    )
    assert stream.endpoint.order.count("closed") == 1
    assert (stream.row.outcome, stream.row.error_code) == (Outcome.INTERRUPTED, "budget_exceeded")
    assert stream.row.http_status == 200
    assert stream.row.output_tokens
    assert (stream.window().spent, stream.window().held) == (stream.row.output_tokens, 0)
    assert stream.limit().refused == 1


def test_hold_grows_by_the_same_again_at_four_fifths(tmp_path: Path) -> None:
    script: Script = [EVENTS, *deltas(MOST), *deltas(1), *deltas(MOST), *deltas(1), FINISH + DONE]

    stream = play(tmp_path, script, replace(BUDGET, amount=10**6))

    assert stream.held == [HELD, 2 * HELD, 3 * HELD]
    assert (stream.row.outcome, stream.row.error_code, stream.window().held) == (Outcome.OK, None, 0)


def test_hold_grows_several_times_if_much_comes_at_once(tmp_path: Path) -> None:
    async def whole() -> Stream:
        limit = replace(BUDGET, hold="mean", amount=10**6)
        stream = Stream(tmp_path, [EVENTS, DELTA * 400, FINISH + DONE], limit)
        stream.answered(100)
        return await stream.whole()

    assert run(whole()).held == [600]


def test_hold_of_money_grows_by_the_price_of_the_output_alone(tmp_path: Path) -> None:
    script: Script = [EVENTS, *deltas(MOST + 1), FINISH + DONE]

    first, grown = play(tmp_path, script, replace(BUDGET, unit="usd", amount=10**9)).held

    assert grown - first == HELD * 790


def test_later_calls_see_what_a_stream_holds_under_a_budget_that_lets_it_finish(tmp_path: Path) -> None:
    limit = replace(BUDGET, amount=2 * HELD, on_exceed="finish")

    stream = play(tmp_path, [EVENTS, *deltas(9000), FINISH + DONE], limit)

    assert stream.held == [HELD, 2 * HELD]
    assert (stream.row.outcome, stream.limit().refused) == (Outcome.OK, 0)


@pytest.mark.parametrize("members", [{"max_tokens": HELD}, {"max_completion_tokens": 50}])
def test_stream_whose_hold_covers_all_of_its_output_is_never_cut(tmp_path: Path, members: dict[str, Any]) -> None:
    stream = play(tmp_path, [EVENTS, *deltas(5000), FINISH + DONE], BUDGET, **members)

    assert (stream.row.outcome, len(stream.held)) == (Outcome.OK, 1)


def test_model_that_answers_at_most_what_is_held_needs_no_more(tmp_path: Path) -> None:
    ways = [replace(route(), max_output_tokens=HELD)]

    stream = play(tmp_path, [EVENTS, *deltas(9000), FINISH + DONE], BUDGET, ways=ways)

    assert (stream.row.outcome, stream.held) == (Outcome.OK, [HELD])


def test_hold_of_the_mean_grows_up_to_what_the_request_allows(tmp_path: Path) -> None:
    async def whole() -> Stream:
        stream = Stream(tmp_path, [EVENTS, *deltas(900), FINISH + DONE], replace(BUDGET, hold="mean"), max_tokens=1000)
        stream.answered(400)
        return await stream.whole()

    assert run(whole()).held == [800, 1000]


def test_stream_that_is_complete_is_not_cut(tmp_path: Path) -> None:
    stream = play(tmp_path, [EVENTS, *deltas(3000), DELTA * 300 + FINISH + DONE], BUDGET)

    assert (stream.row.outcome, stream.endpoint.client.body[-len(DONE) :]) == (Outcome.OK, DONE)


def test_slow_client_gets_what_came_before_the_cut(tmp_path: Path) -> None:
    async def whole() -> Stream:
        stream = Stream(tmp_path, [EVENTS, *deltas(MOST + 1), PAUSE, *deltas(5), FINISH + DONE], BUDGET)
        endpoint = stream.endpoint
        endpoint.client = ScriptedClient(endpoint.order, is_slow=True)
        endpoint.begin()
        await endpoint.provider.paused()
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return stream

    stream = run(whole())

    assert stream.sent[:-1] == [DELTA] * (MOST + 1)
    assert b"budget_exceeded" in stream.sent[-1]


def test_drain_of_a_client_that_left_is_cut_too(tmp_path: Path) -> None:
    limit = replace(BUDGET, hold="mean", amount=700)

    async def whole() -> Stream:
        stream = Stream(tmp_path, [EVENTS, DELTA, PAUSE, *deltas(400), *deltas(400), FINISH + DONE], limit)
        endpoint = stream.endpoint
        stream.answered(400)
        endpoint.begin()
        await endpoint.provider.paused()
        endpoint.client.leave()
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return stream

    stream = run(whole())

    assert (stream.row.error_code, stream.window().held) == ("budget_exceeded", 0)


@pytest.mark.parametrize(("mode", "would_refuse"), [("shadow", 2), ("warn", 0)])
def test_budget_that_refuses_nothing_cuts_nothing(tmp_path: Path, mode: str, would_refuse: int) -> None:
    stream = play(tmp_path, [EVENTS, *deltas(9000), FINISH + DONE], replace(BUDGET, mode=mode))

    assert (stream.row.outcome, stream.limit().would_refuse) == (Outcome.OK, would_refuse)


def test_budget_that_lets_streams_finish_is_not_cut_by_another_that_has_room(tmp_path: Path) -> None:
    finish = replace(BUDGET, name="f", on_exceed="finish")

    stream = play(tmp_path, [EVENTS, *deltas(MOST + 1), FINISH + DONE], replace(BUDGET, amount=10**6), finish)

    assert (stream.row.outcome, stream.held) == (Outcome.OK, [HELD, 2 * HELD])
    assert [stream.window(number).held for number in (0, 1)] == [0, 0]


def test_whole_response_grows_nothing(tmp_path: Path) -> None:
    answer = b'{"choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":40,"completion_tokens":9999}}'

    assert play(tmp_path, [Head(), answer], BUDGET, stream=False).row.outcome == Outcome.OK
