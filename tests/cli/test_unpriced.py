"""A bill names the models whose calls have no known price, and the command that lists these calls."""

import shlex
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from hero_broker.cli.report_view import BillView
from hero_broker.cli.unpriced import unpriced_models
from hero_broker.client import Query, RpcError, methods, models
from hero_broker.store.database import open_database
from tests import forked
from tests.ledger.rows import row

NOW = int(time.time())
LISTED = "hero-broker requests --where cost=unpriced"
ALL = "Without a known price, counted as 0 USD: 10 requests, of "


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Calls of seven models without a price, more for each than for the next, and of one that costs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('unpriced')}/ledger.db"
    free = ["m1", "m1", "m2", "m2", "m3", "m3", "m4", "m5", "m6", "m7"]
    with open_database(url) as database:
        rows = [row(model=model, cost_nano_usd=None, started_at=NOW - 60, ip="192.0.2.1") for model in free]
        database.append([*rows, row(model="priced", cost_nano_usd=7, started_at=NOW - 60, ip="192.0.2.2")], [])
    return url


def lines_of(ledger: str, *arguments: str) -> list[str]:
    ended = forked.run([*arguments, "--database", ledger])
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.splitlines()[1:]  # the first names the ledger


@pytest.mark.parametrize(
    ("arguments", "named", "command"),
    [
        (["--since", "1h"], "m1 (2 requests), m2 (2 requests), m3 (2 requests), m4 (1 request)", " --since 1h"),
        (["--by", "day,model"], "m1 (2 requests), m2 (2 requests), m3 (2 requests), m4 (1 request)", ""),
        (["192.0.2.1"], "m1 (2 requests), m2 (2 requests), m3 (2 requests), m4 (1 request)", " --where ip=192.0.2.1"),
        (
            ["--by", "outcome", "--since", "1d", "--tz", "Asia/Kolkata", "--where", "kind=chat"],
            "m1 (2 requests), m2 (2 requests), m3 (2 requests), m4 (1 request)",
            " --where kind=chat --since 1d --tz Asia/Kolkata",
        ),
    ],
    ids=["by address", "by model", "an address", "by outcome"],
)
def test_bill_names_the_models_and_the_command(ledger: str, arguments: Sequence[str], named: str, command: str) -> None:
    lines = lines_of(ledger, "usage", *arguments)

    assert lines == [
        f"{ALL}{named}, m5 (1 request) and 2 other models.",
        f"List them: {LISTED}{command} --database {ledger}",
    ]


def test_command_that_is_named_lists_these_calls(ledger: str) -> None:
    command = lines_of(ledger, "usage", "--where", "model=m3")[-1].removeprefix("List them: hero-broker ")
    ended = forked.run(shlex.split(command))

    assert [line.split()[4] for line in ended.stdout.splitlines()[1:]] == ["m3", "m3"]


def test_condition_of_the_bill_is_not_given_twice(ledger: str) -> None:
    lines = lines_of(ledger, "usage", "192.0.2.1", "--where", "cost=unpriced", "--since", "1d")

    assert lines[-1] == f"List them: {LISTED} --where ip=192.0.2.1 --since 1d --database {ledger}"


class LateLedger:
    """A ledger that needs too long to group by model, or fails."""

    def __init__(self, code: int) -> None:
        self._code = code

    def call(self, _query: Query[Any], /) -> Any:
        raise RpcError(self._code, "The query took longer than 10 s")

    def call_raw(self, _method: str, _params: Mapping[str, Any]) -> bytes:
        raise NotImplementedError


def test_bill_is_printed_even_if_grouping_by_model_takes_too_long() -> None:
    totals = models.UsageTotals(
        requests=1,
        failed_requests=0,
        estimated_requests=0,
        unpriced_requests=1,
        input_tokens=0,
        output_tokens=0,
        total_tokens=0,
        total_cost_usd=Decimal(0),
        total_cost_nano_usd="0",
        first_seen=None,
        last_seen=None,
        cached_input_tokens=0,
        characters=0,
        audio_ms=0,
        search_units=0,
        images=0,
        web_searches=0,
    )
    bill = BillView(("ip",), None, (), totals, more=False)

    assert unpriced_models(LateLedger(-32003), methods.usage_by_ip(), bill) == {}
    with pytest.raises(RpcError):
        unpriced_models(LateLedger(-32002), methods.usage_by_ip(), bill)


def test_nothing_is_said_where_all_calls_have_a_price(ledger: str) -> None:
    assert lines_of(ledger, "usage", "--where", "model=priced") == []
    assert lines_of(ledger, "usage", "--csv") == []
