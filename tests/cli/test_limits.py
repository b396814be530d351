"""The limits in force, who has used how much of one, and how operators change and explain them."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from hero_broker.cli.limit_values import parse_amount, parse_definition, parse_subject
from hero_broker.client import Client
from tests.cli.conftest import Place, call_from_three_addresses
from tests.e2e_support import broker, chat
from tests.terminal import on_terminal
from tests.waits import wait_until

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
        first, window, head, *lines = place.out("limits", "status", "tokens", "--limit", "2").splitlines()
        in_utc = place.out("limits", "status", "tokens", "--limit", "1", "--tz", "UTC").splitlines()[1]
        status = json.loads(place.out("limits", "status", "tokens", "--json"))
        unknown = place.run("limits", "status", "none")
        place.out("limits", "grant", "tokens", "50", "ip=127.0.0.8", "--reason", "r")
        granted = place.out("limits", "status", "tokens", "ip=127.0.0.8").splitlines()
        unused = place.out("limits", "status", "tokens", "ip=127.0.0.9").splitlines()
        place.out("limits", "set", "far", "unit=concurrent", "amount=1", "per=ip", "match.network=10.0.0.0/8")
        not_counted = place.out("limits", "status", "far", "ip=127.0.0.9").splitlines()

    assert listed[0].split()[-5:] == ["refused", "would", "refuse", "warned", "bound"]
    assert [line.split()[5] for line in listed[1:]] == ["0", "0", "1", "0"]
    assert [int(line.split()[4]) for line in listed[1:]] == [one["would_refuse"] for one in as_json] == [0, 0, 0, 5]
    assert first == (
        "tokens: at most 5,000 tokens a month (Europe/Brussels), for each address; it counts all calls; "
        "it warns when 2 % and 50 % are spent"
    )
    assert re.fullmatch(r"From \d{4}-\d\d-01 00:00:00 to \d{4}-\d\d-01 00:00:00 Europe/Brussels", window)
    assert re.fullmatch(r"From \d{4}-\d\d-\d\d 2[23]:00:00 to \d{4}-\d\d-\d\d 2[23]:00:00 UTC", in_utc)
    assert head.split() == ["subject", "used,", "tokens", "held,", "tokens", "remaining,", "tokens", "warned", "at"]
    assert [line.split() for line in lines] == [
        ["127.0.0.3", "129", "0", "4,871", "2", "%"],
        ["127.0.0.2", "86", "0", "4,914"],
    ]
    assert len(status["data"]) == 3
    assert granted[-1].split() == ["127.0.0.8", "0", "0", "5,050", "50"]
    assert unused[-1].split() == ["127.0.0.9", "0", "0", "5,000"]
    assert not_counted[-1] == "Nothing is counted for ip=127.0.0.9."
    assert (unknown.exit_code, unknown.stderr) == (1, "No such limit\n")
    assert [line.split()[1] for line in listed] == ["source", "server", "server", "file", "file"]


def test_limit_is_set_granted_of_and_removed(fresh: Place) -> None:
    keys = ("unit=usd", "amount=20.50", "window=month", "tz=Europe/Brussels", "per=ip", "match.network=127.0.0.0/8")

    fresh.out("limits", "set", "lab-month", "unit=concurrent", "amount=1")
    replaced, made = fresh.out("limits", "set", "lab-month", *keys).splitlines(keepends=True)
    for_ever = fresh.out("limits", "grant", "lab-month", "5", "ip=::ffff:127.0.0.5", "--reason", "evaluation")
    dated = fresh.out(
        "limits", "grant", "lab-month", "0.25", "ip=127.0.0.6", "--reason", "a month", "--until", "2999-01-01"
    )
    shown = [line.split() for line in fresh.out("limits", "get", "lab-month").splitlines()]
    in_utc = fresh.out("limits", "get", "lab-month", "--tz", "UTC")
    as_json = json.loads(fresh.out("limits", "get", "lab-month", "--json"))["data"]
    revoked = fresh.out("limits", "revoke", "1")
    again = fresh.run("limits", "revoke", "1")
    removed = fresh.out("limits", "remove", "lab-month")

    sentence = "at most 20.5 USD a month (Europe/Brussels), for each address; it counts calls from 127.0.0.0/8"
    assert made == f"lab-month: {sentence}\n"
    assert replaced == "before: lab-month: at most 1 call in flight, for all together; it counts all calls\n"
    assert for_ever == "Grant 1: 127.0.0.5 may use 5 USD more of lab-month, for ever\n"
    assert dated == "Grant 2: 127.0.0.6 may use 0.25 USD more of lab-month, until 2999-01-01 00:00:00 Europe/Brussels\n"
    assert (" ".join(shown[0]), shown[1][:2]) == (made.strip(), ["Set", "at"])
    assert shown[2] == ["grant", "granted", "to", "amount", "made", "at", "until", "reason"]
    # After the amount stands when the grant was made.
    assert [line[:4] + line[6:] for line in shown[3:]] == [
        ["1", "127.0.0.5", "5", "USD", "for", "ever", "evaluation"],
        ["2", "127.0.0.6", "0.25", "USD", "until", "2999-01-01", "00:00:00", "Europe/Brussels", "a", "month"],
    ]
    assert revoked == "Grant 1 has ended: 127.0.0.5 may no longer use 5 USD more of lab-month\n"
    assert (again.exit_code, again.stderr) == (1, "No such grant in force\n")
    assert "until 2998-12-31 23:00:00 UTC" in in_utc
    assert as_json["definition"]["amount"] == 20.5
    assert removed == "lab-month is removed, and 1 of its grants ended\n"
    assert fresh.run("limits", "get", "lab-month").exit_code == 1


def test_budget_by_billing_periods_says_since_which_close_it_counts(fresh: Place) -> None:
    keys = ("unit=usd", "amount=20", "window=billing_period", "tz=Europe/Brussels")
    fresh.out("limits", "set", "next-bill", *keys)
    seen = [fresh.out("limits", "status", "next-bill").splitlines()[1]]
    with Client(fresh.broker.url) as client:
        client.billing.close("2023-11", 1_701_385_200, "Europe/Brussels")
        seen.append(fresh.out("limits", "status", "next-bill").splitlines()[1])
        seen.append(fresh.out("limits", "status", "next-bill", "--tz", "UTC").splitlines()[1])
        answered(fresh)
        wait_until(lambda: fresh.broker.usage()["data"] != [])
        client.billing.mark_billed("an invoice", 1)
    seen.append(fresh.out("limits", "status", "next-bill").splitlines()[1])

    at = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert seen[0] == "Since the first call, because no billing period is closed yet"
    assert re.fullmatch(
        f"Since the close of 2023-11 at {at}, which has calls until 2023-12-01 00:00:00 Europe/Brussels", seen[1]
    )
    assert seen[2].endswith("which has calls until 2023-11-30 23:00:00 UTC")
    assert re.fullmatch(f"Since an invoice was marked as billed at {at} Europe/Brussels", seen[3])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("set", "a", "unit=usd", "amount=1"), 2, "KEY=VALUE: window: is missing"),
        (("set", "a b", "unit=concurrent", "amount=1"), 2, "LIMIT must be 1 to 64 letters"),
        (
            ("set", "server.max_calls", "unit=concurrent", "amount=1"),
            1,
            "is a setting of [server], and is changed there",
        ),
        (("set", "a", "unit=usd", "amount=2,50", "window=day"), 2, "must be a number, such as 20, or 0.50 with the"),
        (("set", "a", "unit=usd", "amount=0", "window=day"), 2, "must be a number of USD above 0, such as 0.50"),
        (("set", "a", "warn_at=[0.8]"), 2, "without brackets: warn_at=0.5,0.8,1, not '[0.8]'"),
        (("set", "a", "warn_at=80%"), 2, "with commas and without brackets: warn_at=0.5,0.8,1, not '80%'"),
        (("set", "a", "per=[ip]"), 2, "must be a list with commas, without brackets"),
        (("set", "a", "match.adress=::1"), 2, "match: must be an object with members among ip, network, label,"),
        (("set", "a", "match.adress=::1"), 2, "exclude, not 'adress'"),
        (("remove", "server.max_calls"), 1, "is a setting of [server], and is changed there"),
        (("grant", "none", "1", "--reason", "r"), 1, "No such limit"),
        (("grant", "server.max_calls", "1", "--reason", "r"), 2, "LIMIT must be of a budget"),
        (("grant", "none", "1", "--reason", "r", "--until", "soon"), 2, "must be 7d"),
        (("grant", "none", "1", "--reason", "r", "--until", "month"), 1, "No such limit"),
        (("grant", "none", "1", "--reason", "r", "--tz", "Nowhere"), 2, "must be an IANA time zone"),
        (("grant", "none", "much", "--reason", "r"), 2, "must be a number"),
        (("status", "server.max_calls", "ip=127.0.0.1"), 2, "DIMENSION=VALUE must have no members"),
        (("explain", "127.0.0.1", "none"), 2, "MODEL: The model 'none' does not exist"),
        (("explain", "here", "fake-chat"), 2, "IP must be an IPv4 or IPv6 address"),
    ],
)
def test_what_is_refused_is_named_as_it_was_given(
    place: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = place.run("limits", *arguments)

    assert ended.exit_code == code
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_call_is_explained_with_what_it_needs(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(LIMITS)
    with broker(tmp_path / "state", "--config", str(config)) as running:
        place = Place(running, "")
        call_from_three_addresses(running)
        admitted, *lines = place.out("limits", "explain", "127.0.0.3", "fake-chat").splitlines()
        as_json = json.loads(place.out("limits", "explain", "127.0.0.3", "fake-chat", "--json"))["data"]

    assert admitted == "A call of kind chat from 127.0.0.3 to fake-chat at fake is admitted now."
    assert [line.split() for line in lines[-2:]] == [
        ["tokens", "yes", "0", "129", "0", "4,871", "tokens", "127.0.0.3"],
        ["watched", "no", "(shadow)", "1", "6", "0", "0", "requests", "all", "together"],
    ]
    assert as_json["admitted"]


def test_limits_are_readable_on_a_terminal_of_80_columns(fresh: Place) -> None:
    fresh.out("limits", "set", "one-call", "unit=requests", "amount=1", "window=day", "per=ip", "match.kind=chat")
    wait_until(lambda: answered(fresh) == 200)

    def printed(*arguments: str) -> list[str]:
        text = on_terminal(["hero-broker", *arguments], {"HERO_BROKER_URL": fresh.broker.url}, columns=80)
        return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()

    listed, own = printed("limits", "list"), printed("me")
    explained = printed("limits", "explain", "127.0.0.1", "fake-chat")

    assert max(map(len, listed + own)) <= 80
    at = next(number for number, line in enumerate(listed) if line.startswith("one-call"))
    assert listed[0].split() == ["limit", "source", "subjects", "refused"]
    assert listed[at].split() == ["one-call", "rpc", "1", "0"]
    assert listed[at + 1 : at + 3] == [
        "    at most 1 request a day (UTC), for each address; it counts calls of the kind",
        "    chat",
    ]
    head = next(number for number, line in enumerate(explained) if line.startswith("limit "))
    assert explained[head + 1].split() == ["one-call", "REFUSES", "1", "1", "0", "0", "requests"]
    assert explained[head + 2] == "    127.0.0.1"
    assert max(map(len, explained[head:])) <= 80
    assert own[-2].split() == ["│", "server.max_calls", "│", "concurrent", "│", "all", "calls", "│"]
    assert not any("-  -" in line for line in own)


def answered(place: Place) -> int:
    """Make a call; return its status."""
    return httpx.post(f"{place.broker.url}/v1/chat/completions", json=chat(), timeout=20).status_code


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["unit=usd", "amount=20"], {"unit": "usd", "amount": 20}),
        (["amount=1_000.50", "shared=false"], {"amount": Decimal("1000.50"), "shared": False}),
        (["per=ip,model", "tz=UTC"], {"per": ["ip", "model"], "tz": "UTC"}),
        (["match.context=123", "match.label=a=b"], {"match": {"context": "123", "label": "a=b"}}),
        (["per="], {"per": [""]}),
        (["warn_at=0.5,1", "on_exceed=cut"], {"warn_at": [Decimal("0.5"), 1], "on_exceed": "cut"}),
        (["match.exclude=10.0.0.1,::1"], {"match": {"exclude": ["10.0.0.1", "::1"]}}),
    ],
)
def test_keys_have_the_types_of_a_definition(texts: list[str], expected: dict[str, Any]) -> None:
    assert parse_definition(texts) == expected


def test_subject_has_its_values_as_they_are() -> None:
    assert parse_subject(["ip=1", "label="]) == {"ip": "1", "label": ""}
    assert parse_subject([]) is None


@pytest.mark.parametrize("texts", [["unit"], ["=usd"], ["unit=usd", "unit=tokens"], ["match.ip=1", "match.ip=2"]])
def test_key_that_is_no_pair_or_given_twice_is_refused(texts: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_definition(texts)


def test_amount_is_exact() -> None:
    assert parse_amount("12.50") == Decimal("12.50")
    for text in ("much", "1e3", "", "5 USD"):
        with pytest.raises(typer.BadParameter):
            parse_amount(text)
