"""`[[limits]]` and `[limiting]`: what the file says, and what is wrong with it."""

import json
import re
import tomllib
from dataclasses import replace
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hero_broker.core.errors import InvalidParams
from hero_broker.limits.limit import MAX_LIMITS, Limit, LimitMatch
from hero_broker.limits.sentences import sentence
from hero_broker.settings import Settings, SettingsError, load
from hero_broker.settings.limits import read_definition
from hero_broker.settings.model import LimitingSettings

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "limits.md"
GUIDE = [
    "machine-month",
    "department-month",
    "most-machines",
    "build-machine",
    "per-machine",
    "machine-tokens",
    "large-model",
    "mycelium-all",
    "each-department-month",
    "hard-month",
]
UNIT_FORM = 'must be one of "usd", "tokens", "input_tokens", "output_tokens", "requests", "concurrent"'
USD_FORM = "must be a number of USD above 0, such as 0.50, with at most 9 decimal places, at most 1000000000"
PROVIDER = '[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1/v1"\n'
BUDGET = 'name = "b"\nunit = "usd"\namount = 20.5\nwindow = "month"\n'
RATE = 'name = "r"\nunit = "requests"\namount = 60\nwindow = "minute"\n'
LONGER = '"hour", "day", "week", "month", "billing_period" or "ever"'


def load_text(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(PROVIDER + text, encoding="utf-8")
    return load(config=path, environ={"HERO_BROKER_STATE_DIR": str(tmp_path)})


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text)
    return {fault.key.removeprefix("limits[0]."): fault.problem for fault in caught.value.faults}


def test_limits_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """
        [[limits]]
        name = "per-machine"
        match = { network = "::ffff:10.0.0.0/104", kind = "chat", exclude = ["10.0.0.9", "10.1.0.0/16"] }
        per = ["ip", "context"]
        unit = "requests"
        amount = 60
        window = "minute"
        burst = 10
        [[limits]]
        name = "pool"
        match = { ip = "400:0::1", context = "c", model = "m", provider = "p", label = "lab" }
        per = ["prefix", "label"]
        prefix_v4 = 24
        prefix_v6 = 48
        unit = "concurrent"
        amount = 4
        mode = "shadow"
        [limiting]
        headers = ["ietf"]
        budget_status = 429
        self_service = "off"
    """

    settings = load_text(tmp_path, text)

    excepted = (ip_network("10.0.0.9/32"), ip_network("10.1.0.0/16"))
    match = LimitMatch(network=ip_network("10.0.0.0/8"), kind="chat", excepted=excepted)
    assert settings.limits == (
        Limit("per-machine", "requests", 60, match, ("ip", "context"), 10),
        Limit(
            "pool",
            "concurrent",
            4,
            LimitMatch("400::1", None, "c", "m", "p", label="lab"),
            ("prefix", "label"),
            mode="shadow",
            prefix_v4=24,
            prefix_v6=48,
        ),
    )
    assert settings.limiting == LimitingSettings(("ietf",), 429, self_service=False)


def test_budgets_are_read_to_the_nano_dollar_with_zone_and_hold(tmp_path: Path) -> None:
    text = f'[[limits]]\n{BUDGET}tz = "Europe/Brussels"\nhold = "worst"\n'

    (limit,) = load_text(
        tmp_path, text.replace("20.5", "20.123456789") + 'unpriced = "allow"\non_exceed = "cut"\n'
    ).limits

    zone = ZoneInfo("Europe/Brussels")
    assert limit == Limit(
        "b", "usd", 20_123_456_789, window="month", zone=zone, hold="worst", unpriced="allow", on_exceed="cut"
    )


def test_thresholds_are_read_exactly(tmp_path: Path) -> None:
    (limit,) = load_text(tmp_path, f'[[limits]]\n{BUDGET}warn_at = [0.1, 0.80, 1, 10.0]\nmode = "warn"\n').limits

    assert limit.warn_at == (Decimal("0.1"), Decimal("0.8"), Decimal(1), Decimal(10))
    assert limit.mode == "warn"


def test_tokens_per_minute_are_read_with_burst_and_hold(tmp_path: Path) -> None:
    text = '[[limits]]\nname = "t"\nunit = "output_tokens"\namount = 1_000_000_000\nwindow = "minute"\n'

    (limit,) = load_text(tmp_path, text + 'burst = 2_000_000\nhold = "none"\n').limits

    assert limit == Limit("t", "output_tokens", 10**9, burst=2_000_000, hold="none")
    assert limit.is_token_rate
    assert load_text(tmp_path, text).limits[0].burst == 10**9


def test_a_whole_minute_may_come_at_once_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    settings = load_text(tmp_path, f"[[limits]]\n{RATE}")

    assert (settings.limits[0].burst, settings.limiting) == (60, LimitingSettings(("openai",), 402))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            {
                "name": "is missing; it must be 1 to 64 letters, digits, dots, hyphens and underscores of ASCII",
                "unit": 'is missing; it must be one of "usd", "tokens", "input_tokens", "output_tokens", "requests", '
                '"concurrent"',
                "amount": "is missing; it must be a number above 0",
            },
        ),
        (
            RATE.replace('"r"', '"a b"'),
            {"name": "must be 1 to 64 letters, digits, dots, hyphens and underscores of ASCII"},
        ),
        (BUDGET.replace("20.5", '"20.5"'), {"amount": USD_FORM}),
        (
            BUDGET.replace('"month"', '"ever"').replace("20.5", "-1"),
            {"amount": USD_FORM.replace("above 0", "of 0 or more")},
        ),
        (
            BUDGET.replace('"usd"', '"eur"').replace("20.5", "-1"),
            {"unit": UNIT_FORM, "amount": "must be a number above 0"},
        ),
        (BUDGET.replace('"usd"', '"eur"'), {"unit": UNIT_FORM}),
        (RATE.replace("60", "0"), {"amount": "must be an integer from 1 to 1000000"}),
        (
            RATE.replace('window = "minute"', ""),
            {"window": f'is missing; it must be "minute", {LONGER}'},
        ),
        (
            RATE.replace('"minute"', '"year"'),
            {"window": 'must be "minute" or "hour" or "day" or "week" or "month" or "billing_period" or "ever"'},
        ),
        (
            BUDGET.replace('window = "month"', ""),
            {"window": f"is missing; it must be {LONGER}"},
        ),
        (
            BUDGET.replace("month", "minute"),
            {"window": f'must be {LONGER} with the unit "usd"'},
        ),
        (BUDGET.replace("20.5", "0"), {"amount": USD_FORM}),
        (BUDGET.replace("20.5", "0.0000000001"), {"amount": USD_FORM}),
        (BUDGET + 'tz = "Europe/Nowhere"\n', {"tz": 'must be the name of a time zone, such as "Europe/Brussels"'}),
        (BUDGET + 'hold = "most"\n', {"hold": 'must be "safe" or "worst" or "mean" or "none"'}),
        (
            RATE + 'on_limits_unavailable = "allow"\n',
            {"on_limits_unavailable": 'needs with "allow" a budget, or a limit that looks at labels'},
        ),
        (BUDGET + "burst = 2\n", {"burst": 'needs the window "minute"'}),
        (
            RATE + 'hold = "worst"\n',
            {"hold": f"needs a window of {LONGER}, or a unit of tokens"},
        ),
        (
            RATE.replace("requests", "concurrent") + "burst = 2\n",
            {
                "window": 'must be left out with the unit "concurrent"',
                "burst": 'needs the window "minute"',
            },
        ),
        (RATE + "burst = 0\n", {"burst": "must be an integer from 1 to 1000000"}),
        (
            RATE + 'per = ["key"]\n',
            {"per[0]": 'must be one of "ip", "prefix", "label", "context", "model", "provider", "kind"'},
        ),
        (RATE + 'per = ["ip", "ip"]\n', {"per": "must not have a word twice"}),
        (RATE + "prefix_v6 = 48\n", {"prefix_v6": 'needs "prefix" in per'}),
        (RATE + 'mode = "soft"\n', {"mode": 'must be "enforce" or "shadow" or "warn"'}),
        (BUDGET + 'mode = "warn"\n', {"mode": 'needs warn_at with "warn"'}),
        (BUDGET + 'on_exceed = "stop"\n', {"on_exceed": 'must be "finish" or "cut"'}),
        *(
            (
                text + 'on_exceed = "cut"\n',
                {
                    "on_exceed": 'needs with "cut" a budget of "usd", "tokens" or "output_tokens" whose hold is not '
                    '"none"'
                },
            )
            for text in (RATE, BUDGET + 'hold = "none"\n', RATE.replace("minute", "day"))
        ),
        (BUDGET + 'unpriced = "free"\n', {"unpriced": 'must be "refuse" or "allow"'}),
        (RATE + 'unpriced = "refuse"\n', {"unpriced": 'needs the unit "usd"'}),
        (RATE + "warn_at = [1]\n", {"warn_at": "needs a window longer than a minute"}),
        *(
            (
                f"{BUDGET}warn_at = {thresholds}\n",
                {
                    "warn_at": "must be an array of 1 to 10 rising numbers above 0, each at most 10, with at most 12 "
                    "decimal places"
                },
            )
            for thresholds in ("0.5", "[]", "[0]", "[0.5, 0.5]", "[10.1]", '["1"]', "[true]", "[nan]", "[1e-13]")
        ),
        (
            f"{BUDGET}warn_at = {[number / 10 for number in range(1, 12)]}\n",
            {
                "warn_at": "must be an array of 1 to 10 rising numbers above 0, each at most 10, with at most 12 "
                "decimal places"
            },
        ),
        (
            RATE + 'match = { ip = "10.0.0.0/8" }\n',
            {"match.ip": 'must be an address, such as "10.77.0.5", or "unknown" for callers on a Unix socket'},
        ),
        (
            RATE + 'match = { network = "10.0.0.1/8" }\n',
            {
                "match.network": 'must be an address or a network, such as "10.77.0.0/24" (not "10.77.0.1/24") or '
                '"400::/7"'
            },
        ),
        (
            RATE + 'match = { provider = "q" }\n',
            {"match.provider": 'must be the name of a provider, not "q"; known: "p"'},
        ),
        (
            RATE + 'match = { adress = "q" }\n',
            {
                "match.adress": "is not a known key; known keys: provider, ip, network, label, context, model, "
                "kind, exclude"
            },
        ),
        (
            RATE + 'match = { exclude = ["10.77.0.1/24"] }\n',
            {
                "match.exclude[0]": 'must be an address or a network, such as "10.77.0.0/24" (not "10.77.0.1/24") or '
                '"400::/7"'
            },
        ),
        (
            RATE + 'match = { ip = "10.77.0.1", exclude = ["10.77.0.2"] }\n',
            {"match": 'must not have "exclude" beside "ip"'},
        ),
        (
            RATE + f"match = {{ exclude = {['10.77.0.1'] * 101} }}\n",
            {"match": 'must have at most 100 addresses and networks in "exclude"'},
        ),
        (RATE + "ammount = 1\n", {"ammount": 'is not a known key; did you mean "amount"?'}),
    ],
)
def test_fault_names_the_field_and_the_accepted_form(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    assert faults(tmp_path, f"[[limits]]\n{text}") == expected


def test_names_are_unique(tmp_path: Path) -> None:
    found = faults(tmp_path, f"[[limits]]\n{RATE}[[limits]]\n{RATE}")

    assert found == {"limits[1].name": 'must be unique; "r" is used by limits[0].name'}


@pytest.mark.parametrize("name", ["server.max_calls", "server.max_calls_per_address"])
def test_limits_of_the_server_keep_their_names(tmp_path: Path, name: str) -> None:
    found = faults(tmp_path, f"[[limits]]\n{RATE}".replace('"r"', f'"{name}"'))

    assert found == {"name": f'must be unique; "{name}" is used by {name}'}


def test_kind_of_a_match_is_one_of_the_kinds(tmp_path: Path) -> None:
    found = faults(tmp_path, f'[[limits]]\n{RATE}match = {{ kind = "chats" }}\n')

    assert list(found) == ["match.kind"]
    assert '"messages"' in found["match.kind"]


def test_number_of_limits_is_bounded(tmp_path: Path) -> None:
    tables = [f"[[limits]]\n{RATE}".replace('"r"', f'"r{number}"') for number in range(MAX_LIMITS + 1)]

    assert faults(tmp_path, "".join(tables)) == {"limits": "must have at most 1000 tables"}


def test_headers_have_known_forms(tmp_path: Path) -> None:
    assert faults(tmp_path, '[limiting]\nheaders = ["x"]\n') == {"limiting.headers[0]": 'must be "openai" or "ietf"'}


@pytest.mark.parametrize("status", ["403", "true", '"429"'])
def test_budget_status_is_one_of_two(tmp_path: Path, status: str) -> None:
    assert faults(tmp_path, f"[limiting]\nbudget_status = {status}\n") == {
        "limiting.budget_status": "must be 402 or 429"
    }


def test_examples_of_the_guide_are_accepted_and_print_its_sentence(tmp_path: Path) -> None:
    page = PAGE.read_text()
    settings = load_text(tmp_path, "".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)))

    assert [limit.name for limit in settings.limits] == GUIDE
    assert f"limit     {GUIDE[0]}: {sentence(settings.limits[0])}\n" in page


def test_definition_over_rpc_is_read_like_a_table_of_the_file(tmp_path: Path) -> None:
    text = "".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    in_file = load_text(tmp_path, text).limits
    tables = tomllib.loads(text)["limits"]

    over_rpc = [
        read_definition(table.pop("name"), json.dumps(table), ["p"], may_share_ledger=False) for table in tables
    ]

    assert over_rpc == [replace(limit, is_set=True) for limit in in_file]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("{}", "unit: is missing; it must be one of"),
        ('{"unit":"usd","amount":20,"window":"minute"}', 'window: must be "hour", "day"'),
        ('{"unit":"concurrent","amount":1,"match":{"provider":"q"},"per":["ips"]}', 'per[0]: must be one of "ip"'),
    ],
)
def test_all_faults_of_a_definition_over_rpc_are_named(definition: str, reason: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        read_definition("a", definition, ["p"], may_share_ledger=False)

    assert caught.value.param == "definition"
    assert caught.value.reason.startswith(reason)
    if "provider" in definition:
        assert "; match.provider: must be the name of a provider, not" in caught.value.reason
    if definition == "{}":
        assert "; amount: is missing" in caught.value.reason


def test_limits_of_brokers_that_may_share_a_ledger_say_that_they_do_not_share_them(tmp_path: Path) -> None:
    head = '[database]\nurl = "postgresql://u@h/d"\n[[limits]]\n'

    for limit, name in ((BUDGET, "b"), (RATE, "r")):
        assert faults(tmp_path, head + limit) == {
            "shared": "must be false with a PostgreSQL database: each broker counts its own calls alone"
        }
        assert [one.name for one in load_text(tmp_path, head + limit + "shared = false\n").limits] == [name]


def test_amount_may_be_0_where_only_grants_count(tmp_path: Path) -> None:
    prepaid = "[[limits]]\n" + BUDGET.replace("20.5", "0").replace("month", "ever").replace(
        'tz = "Europe/Brussels"', ""
    )

    assert load_text(tmp_path, prepaid).limits[0].amount == 0
    assert faults(tmp_path, prepaid.replace("0", "-1", 1)) != {}
