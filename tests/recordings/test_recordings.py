"""Each provider's answers, in its own shape, become rows with the usage, the price and the cost worked out by hand."""

import json
from fractions import Fraction

import msgspec
import pytest

from hero_broker.core.money import NANO
from hero_broker.core.records import PriceRecord
from hero_broker.core.usage import Usage
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.wires import OPENAI_WIRE
from hero_broker.reports.explain import explain
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from tests.kinds.targets import relay_however_cut
from tests.recordings.player import CATALOGUE, STARTED_AT, play, tariff_of
from tests.recordings.recording import DATA, Recording, recordings

# Providers that have no variable in the environment, and are often configured.
OTHERS = {"azure", "huggingface", "vllm", "llama-cpp", "ollama"}
WITHOUT_STREAMS = {"jina", "voyageai"}  # they serve no kind that has streams
BY_THE_HOUR = {"deepseek"}  # their prices depend on it
EVERY = pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.file)


def usage_of(row: object) -> Usage:
    return Usage(**{unit: getattr(row, unit) for unit in Usage.__struct_fields__})


@EVERY
def test_row_has_what_was_worked_out_by_hand(recording: Recording) -> None:
    row, playing = play(recording)

    assert usage_of(row) == recording.usage
    assert (row.cost_nano_usd, row.cost_source) == (recording.cost_nano_usd, recording.cost_source)
    assert (row.usage_source, row.service_tier) == (recording.usage_source, recording.service_tier)
    assert row.price_id == (None if recording.price is None else recording.price.price_id)
    assert (row.http_status, row.error_code, row.stream) == (200, None, recording.is_stream)
    assert playing.client.is_complete
    assert (row.cut_counts, row.unexplained_tokens) == (None, None)


@pytest.mark.parametrize("seed", range(6))
@EVERY
def test_row_is_the_same_however_the_answer_is_cut(recording: Recording, seed: int) -> None:
    whole, _ = play(recording)

    cut, playing = play(recording, f"{recording.file} {seed}")

    assert usage_of(cut) == usage_of(whole)
    assert (cut.cost_nano_usd, cut.cost_source, cut.price_id) == (
        whole.cost_nano_usd,
        whole.cost_source,
        whole.price_id,
    )
    assert playing.client.is_complete


OF_AGENTS = [one for one in recordings() if one.is_stream and KINDS[one.kind].wire != OPENAI_WIRE]


@pytest.mark.parametrize("recording", OF_AGENTS, ids=lambda recording: recording.file)
def test_stream_of_an_agents_wire_passes_and_is_read_alike_wherever_it_is_cut(recording: Recording) -> None:
    passed = relay_however_cut(KINDS[recording.kind], recording.body)

    assert passed.sent + passed.tail == recording.body
    assert passed.source == "reported"
    assert passed.usage == {
        name: count for name, count in msgspec.structs.asdict(recording.usage).items() if count is not None
    }


@EVERY
def test_sum_that_is_written_out_is_the_cost(recording: Recording) -> None:
    assert round(recording.sum_nano_usd()) == recording.cost_nano_usd


@EVERY
def test_explanation_adds_up_to_the_cost(recording: Recording) -> None:
    row, _ = play(recording)
    price = recording.price

    lines, total = explain(row, None if price is None else PriceRecord(price.price_id, price.rates, "", ""))

    assert total is not None
    assert round(Fraction(total) * NANO) == row.cost_nano_usd
    assert sum((Fraction(line.amount_usd) for line in lines), Fraction(0)) == (Fraction(total) if lines else 0)
    assert bool(lines) == (row.cost_source == "price")


@EVERY
def test_asked_for_usage_only_where_the_provider_takes_the_question(recording: Recording) -> None:
    _, playing = play(recording)

    (body,) = playing.provider.bodies
    assert isinstance(body, bytes)
    asks = bool(json.loads(body).get("stream_options", {}).get("include_usage"))
    has_option = KINDS[recording.kind].wire == OPENAI_WIRE and recording.provider != "mistral"
    assert asks == (recording.is_stream and has_option)


def test_every_known_provider_has_recordings_of_its_own_url() -> None:
    urls = {known.name: known.base_url for known in KNOWN_PROVIDERS}

    assert {one.provider for one in recordings()} == urls.keys() | OTHERS
    assert {one.provider: one.base_url for one in recordings() if one.provider in urls} == urls


@pytest.mark.parametrize("provider", sorted({known.name for known in KNOWN_PROVIDERS} | OTHERS))
def test_provider_has_a_whole_answer_and_a_stream_or_two_kinds(provider: str) -> None:
    own = [one for one in recordings() if one.provider == provider]
    whole, streams = [one for one in own if not one.is_stream], [one for one in own if one.is_stream]

    assert whole
    assert bool(streams) == (provider not in WITHOUT_STREAMS)
    assert streams or len({one.kind for one in whole}) > 1


def test_every_file_belongs_to_a_recording() -> None:
    files = {path.name for path in DATA.iterdir() if path.suffix != ".toml"}

    assert files == {one.file for one in recordings()}
    assert len(recordings()) == len(files)


@EVERY
def test_recording_names_where_its_shape_is_documented(recording: Recording) -> None:
    assert recording.sources
    assert all(source.startswith("https://") for source in recording.sources)


@pytest.mark.parametrize(
    "recording", [one for one in recordings() if one.own_price is None], ids=lambda recording: recording.file
)
def test_prices_change_only_by_the_hour_and_where_that_is_known(recording: Recording) -> None:
    answered = next((name for one in recording.events() if (name := one.get("model"))), recording.model)
    tariff = CATALOGUE.tariff_of_name(recording.provider, answered) or tariff_of(recording)
    periods = () if tariff is None else tariff.periods

    assert any(period.daily for period in periods) == (recording.provider in BY_THE_HOUR)
    assert all((period.since or 0) <= STARTED_AT for period in periods)
