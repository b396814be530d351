"""The prices in force, as a command shows them."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Place


def test_prices_of_a_model_have_their_rates_and_sources(place: Place) -> None:
    lines = place.out("prices", "fake-chat").splitlines()

    assert lines[0].split() == ["model", "provider", "tier", "rate", "USD", "from"]
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["fake-chat", "fake", "input_per_million", "0.59"],
        ["fake-chat", "fake", "output_per_million", "0.79"],
    ]


def test_prices_of_all_models_stand_in_one_line_of_points(place: Place) -> None:
    lines = place.out("prices").splitlines()

    rates = [line for line in lines if line.startswith("fake-")]
    point = lines[0].index("USD") + 2
    assert {line.split()[0] for line in rates} >= {"fake-chat", "fake-tts", "fake-stt", "fake-rerank"}
    assert {line[point] for line in rates} <= {".", " "}
    assert next(line for line in rates if line.startswith("fake-tts"))[point - 2 :].split()[0] == "15"


def test_age_of_each_price_list_is_told(place: Place) -> None:
    genai_prices, supplement = place.out("prices").splitlines()[-2:]

    assert genai_prices.startswith("genai-prices 0.")
    assert "its newest price is of 20" in genai_prices
    assert supplement.startswith("supplement: its newest price is of 20")
    assert supplement.endswith("ago.")


def test_unknown_model_is_an_error(place: Place) -> None:
    ended = place.run("prices", "no-such-model")

    assert (ended.exit_code, ended.stderr) == (1, "No such model\n")


def test_prices_need_a_broker(place: Place) -> None:
    ended = place.run("rpc", "prices.list", "--database", place.database)

    assert (ended.exit_code, "needs a running broker" in ended.stderr) == (2, True)


def test_refresh_tells_what_changed_and_which_lists_are_in_force(place: Place) -> None:
    lines = place.out("prices", "refresh").splitlines()

    assert lines[0] == "0 models with another price. Rates: 0 added, 0 removed, 0 changed."
    assert [line.split()[0] for line in lines[1:]] == ["genai-prices", "supplement:"]


def test_refresh_prints_the_response_unchanged(place: Place) -> None:
    answer = json.loads(place.out("prices", "refresh", "--json"))

    assert answer["data"]["models"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "{file} cannot be read: No such file or directory", id="missing"),
        pytest.param(b"\xff", "{file} cannot be read: it is not UTF-8", id="no UTF-8"),
        pytest.param(b"[1]", "--file must be a price list of genai-prices: Expected `object`, got `int`", id="wrong"),
    ],
)
def test_wrong_file_is_an_error_that_says_why(
    place: Place, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "data.json"
    if content is not None:
        file.write_bytes(content)

    ended = place.run("prices", "refresh", "--file", str(file))

    assert ended.exit_code == 2
    assert ended.stderr.startswith(message.format(file=file))


def test_first_argument_is_a_model_unless_it_is_a_command(place: Place) -> None:
    shown = place.out("prices", "show", "fake-chat")
    helped = place.out("prices", "--help")

    assert place.out("prices", "fake-chat") == shown
    assert place.run("prices", "show", "refresh").stderr == "No such model\n"
    assert "refresh" in helped
