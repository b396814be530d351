"""Calls as lines, and as they come."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import TOKEN, Place
from tests.e2e_support import broker, chat


def test_newest_calls_are_printed_the_newest_last(place: Place) -> None:
    head, *lines = place.out("requests", "--limit", "2", "--where", "ip=127.0.0.3").splitlines()

    assert head.split() == [
        "TIME",
        "IP",
        "KIND",
        "MODEL",
        "OUTCOME",
        "ERROR",
        "INPUT",
        "OUTPUT",
        "USD",
        "MS",
        "REQUEST",
    ]
    assert [line.split()[2:10] for line in lines] == [
        ["127.0.0.3", "chat", "fake-chat", "ok", "-", "40", "3", "0.00002597"]
    ] * 2
    assert lines[0].split()[-1] < lines[1].split()[-1]


def test_json_is_a_row_a_line_with_its_digits(place: Place) -> None:
    lines = place.out("requests", "--json", "--limit", "1000").splitlines()
    rows = [json.loads(line) for line in lines]

    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all('"cost_usd":0.00002597,' in line for line in lines)


def test_window_zone_and_database_are_taken(place: Place) -> None:
    assert len(place.out("requests", "--until", "1h").splitlines()) == 1
    assert len(place.out("requests", "--since", "1h", "--database", place.database).splitlines()) == 7
    assert place.run("requests", "--tz", "Mars/Olympus").exit_code == 2


@contextmanager
def following(place: Place, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `requests --follow --json` for the time of the block."""
    environ = {**os.environ, "HERO_BROKER_URL": place.broker.url, "ADMIN_TOKEN": TOKEN}
    command = [sys.executable, "-m", "hero_broker", "requests", "--follow", "--json", *arguments]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_followed_calls_are_printed_once_each_as_they_come(fresh: Place) -> None:
    url = f"{fresh.broker.url}/v1/chat/completions"
    httpx.post(url, json=chat()).raise_for_status()
    fresh.broker.usage()

    with following(fresh, "--where", "kind=chat") as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["seq"]]
        for count in (1, 3):
            for _ in range(count):
                httpx.post(url, json=chat()).raise_for_status()
            embedding = {"model": "fake-embedding", "input": "not followed"}
            httpx.post(f"{fresh.broker.url}/v1/embeddings", json=embedding).raise_for_status()
            seen += [json.loads(process.stdout.readline())["seq"] for _ in range(count)]

    assert seen == [1, 2, 4, 5, 6]


def test_follower_waits_for_a_broker_that_is_gone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with broker(state) as first:
        place = Place(first, "")
        httpx.post(f"{first.url}/v1/chat/completions", json=chat()).raise_for_status()
        first.usage()
        with following(place) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            before = json.loads(process.stdout.readline())["seq"]
            first.process.terminate()
            first.process.wait(timeout=30)
            warning = process.stderr.readline()
            with broker(state, listen=first.url.removeprefix("http://")) as second:
                httpx.post(f"{second.url}/v1/chat/completions", json=chat()).raise_for_status()
                after = json.loads(process.stdout.readline())["seq"]

    assert "trying again" in warning
    assert (before, after) == (1, 2)


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--where", "colour=red"], ["--since", "soon"]])
def test_wrong_use_is_2(place: Place, arguments: list[str]) -> None:
    assert place.run("requests", *arguments).exit_code == 2


def test_one_call_is_printed_with_its_cost(place: Place) -> None:
    newest = json.loads(place.out("requests", "--limit", "1", "--json"))
    printed = place.out("requests", newest["request_id"])
    raw = json.loads(place.out("requests", newest["request_id"], "--json"))
    unknown = place.run("requests", "none")

    assert ["from", newest["ip"]] in [line.split() for line in printed.splitlines()]
    assert ["billing", "period", "none", "yet"] in [line.split() for line in printed.splitlines()]
    assert ["input_tokens", "40", "0.59", "per", "1,000,000", "0.0000236"] in [
        line.split() for line in printed.splitlines()
    ]
    assert printed.splitlines()[-1] == "Cost: 0.00002597 USD"
    assert raw["data"]["cost"]["exact_usd"] == "0.00002597"
    assert (unknown.exit_code, unknown.stderr) == (1, "No such request\n")
