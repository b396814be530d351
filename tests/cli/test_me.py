"""What a caller is told of its own usage, without a token."""

import json
import re
from pathlib import Path

from tests.cli.conftest import Place
from tests.e2e_support import broker

LIMITS = """
[[limits]]
name = "machine-month"
unit = "usd"
amount = 20
window = "month"
tz = "Europe/Brussels"
per = ["ip"]
match = { model = "fake-chat" }
[[limits]]
name = "all"
unit = "tokens"
amount = 777
window = "ever"
"""


def cells(text: str) -> list[list[str]]:
    """Return the cells of each line."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_caller_sees_its_windows_models_and_limits_without_a_token(place: Place) -> None:
    ended = place.run("me", token=None)

    printed = cells(ended.stdout)
    assert ended.exit_code == 0
    assert printed[0] == ["Usage of 127.0.0.1, by days and months of UTC"]
    assert printed[2][:5] == ["today", "all models", "1", "40", "3"]
    assert [line[:2] for line in printed[3:6]] == [
        ["today", "fake-chat"],
        ["this month", "all models"],
        ["this month", "fake-chat"],
    ]
    assert printed[2][5] == printed[5][5]
    assert printed[6] == ["limit", "used", "held", "remaining", "amount", "unit", "counts"]
    assert printed[7][0] == "server.max_calls_per_address"
    assert printed[7][-2:] == ["concurrent", "all calls"]
    assert printed[8:] == [["shared with others", "unit", "counts"], ["server.max_calls", "concurrent", "all calls"]]
    assert "127.0.0.2" not in ended.stdout


def test_json_is_the_response_as_it_came(place: Place) -> None:
    ended = place.run("me", "--json", token=None)

    assert json.loads(ended.stdout)["data"]["month"]["totals"]["requests"] == 1


def test_limits_show_amounts_and_ends_in_a_zone(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(LIMITS)
    with broker(tmp_path / "state", "--config", str(config)) as running:
        place = Place(running, "")
        *_, own, _, _, shared = cells(place.out("me", "--tz", "Europe/Brussels"))
        listed = cells(place.out("limits", "list"))
        status = place.out("limits", "status", "machine-month").splitlines()

    assert own[:-1] == ["machine-month", "0", "0", "20", "20", "usd"]
    assert re.fullmatch(r"model fake-chat, each month, until \d{4}-\d\d-01 00:00:00 Europe/Brussels", own[-1])
    assert shared == ["all", "tokens", "all calls, for ever"]
    assert listed[0] == ["limit", "source", "subjects", "refused", "bound"]
    assert listed[3][::4] == [
        "machine-month",
        "at most 20 USD a month (Europe/Brussels), for each address; it counts calls to the model fake-chat",
    ]
    assert status == [f"machine-month: {listed[3][4]}", "Nobody has used any of it."]


def test_command_ends_with_1_if_the_broker_refuses_or_nobody_answers(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nallowed_clients = ["192.0.2.0/24"]\n')
    with broker(tmp_path / "state", "--config", str(config)) as running:
        refused = Place(running, "").run("me", token=None)
    silent = Place(running, "").run("me", token=None)

    assert (refused.exit_code, silent.exit_code) == (1, 1)
    assert "/v1/usage answered 403: The address 127.0.0.1 is not among the allowed clients." in refused.stderr
    assert f"no broker answers at {running.url}" in silent.stderr
    assert "Is the broker running?" in silent.stderr


def test_url_that_is_none_ends_with_2(place: Place) -> None:
    assert place.run("me", url="nonsense").exit_code == 2
