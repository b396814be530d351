"""The demo ends in a bill for four addresses, whatever loopback addresses the platform has."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hero_broker.cli import demo_traffic
from hero_broker.cli.demo_traffic import callers
from tests import forked

ENVIRON = {"ADMIN_TOKEN": "of no concern to the demo"}
DEMO = ["demo", "--port", "0", "--once"]


def have_only(addresses: Sequence[str]) -> None:
    """Let this process run on a machine that has these addresses alone."""
    demo_traffic.can_bind = lambda address: address in addresses


def test_demo_prints_a_bill_that_is_right_to_the_nano_dollar(tmp_path: Path) -> None:
    (tmp_path / "hero-broker.toml").write_text("[server]\nmax_calls = 'of no concern to the demo'\n")

    command = [sys.executable, "-m", "hero_broker", *DEMO]
    ended = subprocess.run(
        command, env={**os.environ, **ENVIRON}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    head, *lines = [line.split() for line in ended.stdout.splitlines()]
    bill = {cells[0]: cells[1:] for cells in lines}
    assert ended.returncode == 0, ended.stderr
    assert head == ["ip", "requests", "input", "output", "characters", "minutes", "searches", "USD"]
    assert len(bill) == 5
    for number, cells in enumerate(reversed([cells for ip, cells in bill.items() if ip != "total"]), start=1):
        nano = number * 25_970 + 1_770 + 3 * 4_140 + 2_000_000 + 34 * 15_000 + 200_000
        tokens = [str(40 * number + 12), str(3 * number + 9)]
        assert cells == [str(number + 8), *tokens, "34", "0.03", "1", f"{nano / 1e9:.8f}"]


@pytest.mark.parametrize(
    ("addresses", "billed"),
    [
        (None, {"127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"}),
        ("127.0.0.1,::1", {"127.0.0.1", "192.0.2.2", "192.0.2.3", "::1"}),
        ("127.0.0.1", {"127.0.0.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"}),
    ],
)
def test_demo_does_not_warn_of_itself(tmp_path: Path, addresses: str | None, billed: set[str]) -> None:
    prepare = None if addresses is None else functools.partial(have_only, addresses.split(","))
    ended = forked.run(DEMO, {**os.environ, **ENVIRON}, tmp_path, prepare=prepare)

    logged = [line for line in ended.stderr.splitlines() if line.startswith("{")]
    assert ended.returncode == 0, ended.stderr
    assert [line for line in logged if '"level": "info"' not in line] == []
    assert ended.stderr.startswith("called from ")
    assert {line.split()[0] for line in ended.stdout.splitlines()[1:]} == {*billed, "total"}


@pytest.mark.parametrize(
    ("lacking", "billed"),
    [
        pytest.param([], ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"], id="all"),
        pytest.param(["127.0.0.2", "127.0.0.3"], ["127.0.0.1", "192.0.2.2", "192.0.2.3", "::1"], id="one IPv4"),
        pytest.param(["::1"], ["127.0.0.1", "127.0.0.2", "127.0.0.3", "2001:db8::1"], id="no IPv6"),
    ],
)
def test_addresses_that_the_platform_lacks_are_stood_in_for(lacking: list[str], billed: list[str]) -> None:
    who = callers(lambda address: address not in lacking)

    assert [caller.billed for caller in who] == billed
    assert all((caller.local_address is None) == (caller.stands_for is not None) for caller in who)
