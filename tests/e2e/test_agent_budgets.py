"""Coding agents ask for far more output than they use: what they are told under a budget that is hardly larger."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agent_bodies import CLAUDE_CODE, CODEX, AgentBody
from tests.e2e.provider import HEAD, Exchange, Provider
from tests.e2e_support import Broker, broker
from tests.waits import wait_until
from tests.wires import MESSAGES, RATES, RESPONSES, Wire

NANO_USD = 1_000_000_000
MAX_TOKENS = 32_000
BUDGET = """
[[limits]]
name = "agents"
unit = "usd"
amount = {amount}
window = "month"
tz = "Europe/Brussels"
per = ["ip"]
"""
AGENTS = [
    pytest.param(CLAUDE_CODE, MESSAGES, id="Claude Code"),
    pytest.param(replace(CODEX, members={**CODEX.members, "max_output_tokens": MAX_TOKENS}), RESPONSES, id="Codex"),
]


@dataclass(frozen=True)
class Agent:
    """An agent under a budget."""

    body: AgentBody
    wire: Wire
    running: Broker
    provider: Provider

    def ask(self) -> httpx.Response:
        """Make a call, and return the whole response."""
        headers = {"content-type": "application/json"}
        return httpx.post(self.running.url + self.body.path, content=self.body.encode(), headers=headers, timeout=20)

    def call(self) -> httpx.Response:
        """Make a call that the provider answers."""
        with self.in_flight() as answer:
            return answer()

    @contextmanager
    def in_flight(self) -> Iterator[Callable[[], httpx.Response]]:
        """Begin a call; in the block, it waits for the function to be called, which answers it."""
        responses: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: responses.append(self.ask()))
        thread.start()
        exchange = self.provider.accept()

        def answer() -> httpx.Response:
            self._answer(exchange)
            thread.join(20)
            return responses[0]

        try:
            yield answer
        finally:
            exchange.end()
            thread.join(20)

    def _answer(self, exchange: Exchange) -> None:
        exchange.send(HEAD + self.wire.stream)
        exchange.end()

    def budget(self) -> dict[str, Any]:
        """Return what is used, held and left of the budget."""
        status = httpx.get(f"{self.running.url}/admin/limits/agents/status").json(parse_float=Decimal)
        return dict(status["data"][0]) if status["data"] else {}

    def settled(self) -> dict[str, Any]:
        """Return the same once nothing is held."""
        wait_until(lambda: not self.budget()["held"])
        return self.budget()


@contextmanager
def agent(folder: Path, body: AgentBody, wire: Wire, amount: Decimal) -> Iterator[Agent]:
    rates = "".join(f"{name} = {rate}\n" for name, rate in RATES.items())
    config = folder / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\n'
            'wires = ["openai", "anthropic", "responses"]\n'
            f'[[models]]\nname = "m"\nprovider = "p"\n[models.price]\n{rates}' + BUDGET.format(amount=amount)
        )
        with broker(folder / "state", "--config", str(config)) as running:
            yield Agent(body, wire, running, provider)


def error(response: httpx.Response) -> tuple[int, str, str | None, str, str]:
    """Return what an agent gets of a refusal: status, type, retry-after, x-should-retry, message."""
    told = response.json()["error"]
    headers = response.headers
    return response.status_code, told["type"], headers.get("retry-after"), headers["x-should-retry"], told["message"]


@pytest.mark.parametrize(("body", "wire"), AGENTS)
def test_agent_is_locked_out_by_what_is_spent_alone(tmp_path: Path, body: AgentBody, wire: Wire) -> None:
    cost = Decimal(wire.cost_nano_usd) / NANO_USD
    (tmp_path / "first").mkdir()
    with agent(tmp_path / "first", body, wire, Decimal(10)) as one, one.in_flight() as answer:
        held = one.budget()["held"]
        answer()
    amount = held + 3 * cost - Decimal("0.000000001")
    with agent(tmp_path, body, wire, amount) as one:
        with one.in_flight() as answer:
            during = one.budget()
            reserved = [error(one.ask()) for _ in range(2)]
            first = answer()
        after = one.settled()
        others = [one.call().status_code for _ in range(2)]
        left = one.settled()
        exceeded = one.ask()
        refused = httpx.get(f"{one.running.url}/admin/limits").json()["data"][-1]

    name = f"The budget 'agents' of {amount} USD a month for 127.0.0.1"
    spent = "billing_error" if wire is MESSAGES else "insufficient_quota"
    assert held >= MAX_TOKENS * Decimal(RATES["output_per_million"]) / 1_000_000 > 100 * cost
    assert (during["used"], during["held"], during["remaining"]) == (0, held, amount - held)
    told = f"{name} has enough left, but calls in flight hold {held} USD of it; try again shortly."
    assert reserved == [(429, "rate_limit_error", "2", "true", told)] * 2
    assert (first.status_code, after["used"], after["held"]) == (200, cost, 0)
    assert others == [200, 200]
    assert (left["used"], left["held"]) == (3 * cost, 0)
    *head, message = error(exceeded)
    assert head == [402, spent, None, "false"]
    needs = f"{name} has {amount - 3 * cost} USD left, and this call may use {held} USD; the window ends at "
    assert message.startswith(needs)
    assert refused["refused"] == 3


@pytest.mark.parametrize(("body", "wire"), AGENTS)
def test_agent_that_asks_for_more_than_the_budget_is_told_to_ask_for_less(
    tmp_path: Path, body: AgentBody, wire: Wire
) -> None:
    with agent(tmp_path, body, wire, Decimal("0.3")) as one:
        status, _, retry_after, should_retry, message = error(one.ask())
        smaller = replace(one, body=replace(body, members={**body.members, _bound(body): 1_000}))
        answered = smaller.call().status_code

    assert (status, retry_after, should_retry) == (402, None, "false")
    assert message.startswith("The budget 'agents' of 0.3 USD a month for 127.0.0.1 is less than this call may use, 0.")
    assert message.endswith(
        "a lower limit of output tokens (max_tokens, max_output_tokens) or a shorter request may fit."
    )
    assert answered == 200


def _bound(body: AgentBody) -> str:
    return "max_tokens" if "max_tokens" in body.members else "max_output_tokens"
