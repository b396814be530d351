"""The prices in force, as a command shows them."""

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
