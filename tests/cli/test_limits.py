"""The limits in force, and who has used how much of one, as operators print them."""

import json
import re
from pathlib import Path

from tests.cli.conftest import Place, call_from_three_addresses
from tests.e2e_support import broker

LIMITS = """
[[limits]]
name = "tokens"
unit = "tokens"
amount = 5000
window = "month"
tz = "Europe/Brussels"
per = ["ip"]
hold = "none"
warn_at = [0.02, 0.5]
[[limits]]
name = "watched"
unit = "requests"
amount = 1
window = "month"
mode = "shadow"
"""


def test_limits_and_who_used_most_of_one(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(LIMITS)
    with broker(tmp_path / "state", "--config", str(config)) as running:
        place = Place(running, "")
        call_from_three_addresses(running)
        listed = place.out("limits", "list").splitlines()
        as_json = json.loads(place.out("limits", "list", "--json"))["data"]
        first, window, head, *lines = place.out(
            "limits", "status", "tokens", "--limit", "2", "--tz", "Europe/Brussels"
        ).splitlines()
        status = json.loads(place.out("limits", "status", "tokens", "--json"))
        unknown = place.run("limits", "status", "none")

    assert listed[0].split()[-4:] == ["refused", "would", "refuse", "warned"]
    assert [line.split()[-1] for line in listed[1:]] == ["0", "0", "1", "0"]
    assert [int(line.split()[-2]) for line in listed[1:]] == [one["would_refuse"] for one in as_json] == [0, 0, 0, 5]
    assert first == (
        "tokens: at most 5,000 tokens a month (Europe/Brussels), for each address; it counts all calls; "
        "it warns when 2 % and 50 % are spent"
    )
    assert re.fullmatch(r"From \d{4}-\d\d-01 00:00:00 to \d{4}-\d\d-01 00:00:00 Europe/Brussels", window)
    assert head.split() == ["subject", "used,", "tokens", "held,", "tokens", "remaining,", "tokens", "warned", "at"]
    assert [line.split() for line in lines] == [
        ["127.0.0.3", "129", "0", "4,871", "2", "%"],
        ["127.0.0.2", "86", "0", "4,914"],
    ]
    assert len(status["data"]) == 3
    assert (unknown.exit_code, unknown.stderr) == (1, "No such limit\n")
