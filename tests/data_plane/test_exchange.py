"""What comes before a call's run, and what a run leaves behind."""

import asyncio
import gc
from typing import cast

import pytest

from hero_broker.core.errors import ProviderRefused, TooManyCalls
from hero_broker.data_plane.call_run import CallRun
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.exchange import Exchange
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Slot
from hero_broker.limits.counters import NOTHING
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.client import Upstream
from tests.data_plane.scripted import Head, Play, Script, Unsent, json_call, route, run

ANSWER = b'{"choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'


def chat() -> ClientCall:
    return json_call("chat", b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}')


def test_check_refuses_before_anything_is_noted() -> None:
    def refuse(_call: ClientCall, _route: Route) -> None:
        raise TooManyCalls("later", retry_after_s=7)

    async def begun() -> Play:
        play = Play([], chat(), checks=[refuse])
        with pytest.raises(TooManyCalls) as refused:
            play.begin()
        assert (refused.value.status, refused.value.retry_after_s) == (429, 7)
        play.estimates.close()
        return play

    assert run(begun()).order == []


def runs_in_memory() -> int:
    return sum(isinstance(one, CallRun) for one in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("targets", [1, 2])
def test_call_that_is_over_is_not_left_to_the_garbage_collector(targets: int) -> None:
    def scripts() -> list[Script]:
        """Return what the providers do in one call; an error that is raised again would keep the first call."""
        refused: list[Script] = [[Unsent(), ProviderRefused("", detail="Connection refused")]] * (targets - 1)
        return [*refused, [Head(), ANSWER]]

    async def calls() -> int:
        play = Play([*scripts(), *scripts()], chat(), targets=targets)
        play.scripts = ()
        # Without the observer, which fails: the log would keep its traceback, and so the run.
        exchange = Exchange(
            cast(Upstream, play.provider), cast(Ledger, play.ledger), play.estimates, play.clock, play.limits
        )

        async def call() -> None:
            await exchange.start(play.call, route(targets), play.client.channel(), Slot(NOTHING))
            play.client.forget()

        await asyncio.create_task(call())
        gc.collect()
        before = runs_in_memory()  # the failures of other tests keep theirs
        gc.disable()
        try:
            await asyncio.create_task(call())
            return runs_in_memory() - before
        finally:
            gc.enable()
            play.estimates.close()

    assert run(calls()) == 0
