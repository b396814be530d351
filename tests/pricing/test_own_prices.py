"""Models that share providers and upstream models: each costs its own price, displayed or charged."""

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hero_broker.cli import config_report
from hero_broker.core.calls import Caller, Outcome
from hero_broker.core.clock import Clock, SystemClock
from hero_broker.core.money import usd_text
from hero_broker.core.records import PriceRecord
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.kinds.kind import Request
from hero_broker.kinds.registry import KINDS
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.meter import Meter
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.providers.fake.app import FAKES
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.routes import Route, Routes
from hero_broker.reports.explain import explain
from hero_broker.server.configured_routes import FAKE, build_routes
from hero_broker.settings import Settings, load
from tests.data_plane.scripted import ScriptedClock

PROVIDERS = ("p", "q", FAKE)
TEXT_KINDS = ("chat", "completion", "embedding")
ANSWER = msgspec.json.encode({"choices": [{}], "usage": {"prompt_tokens": 1000, "completion_tokens": 1000}})
CALLER = Caller("192.0.2.1", None)
CATALOGUE = Catalogue()


class Model(NamedTuple):
    """One entry of `[[models]]`."""

    provider: str
    upstream_model: str
    kind: str
    has_price: bool


MODELS = st.lists(
    st.builds(
        Model,
        st.sampled_from(PROVIDERS),
        st.sampled_from(["a", "b", *(fake.model for fake in FAKES)]),
        st.sampled_from(TEXT_KINDS),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def settings_of(models: list[Model]) -> Settings:
    text = "".join(f'[[providers]]\nname = "{name}"\nbase_url = "http://127.0.0.1:1/v1"\n' for name in ("p", "q"))
    for index, model in enumerate(models):
        text += (
            f'[[models]]\nname = "m{index}"\naliases = ["alias{index}"]\nkind = "{model.kind}"\n'
            f'provider = "{model.provider}"\nupstream_model = "{model.upstream_model}"\n'
        )
        if model.has_price:
            text += f"[models.price]\ninput_per_million = {index + 1}\noutput_per_million = {100 * (index + 1)}\n"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hero-broker.toml"
        config.write_text(text)
        return load(config=config, environ={}, fake=True)


def rates_of(index: int, model: Model) -> dict[str, str] | None:
    """Return what the model costs by the settings, else by the fake provider; None if it has no price."""
    if model.has_price:
        return {"input_per_million": str(index + 1), "output_per_million": str(100 * (index + 1))}
    fake = next(fake for fake in FAKES if fake.kind == model.kind)
    is_fake = (model.provider, model.upstream_model) == (FAKE, fake.model)
    return msgspec.json.decode(fake.price.rates, type=dict[str, str]) if is_fake else None


def nano_usd(rates: dict[str, str], input_tokens: int, output_tokens: int) -> int:
    """Return the cost of so many tokens: a millionth of a rate in USD is a thousand nano-USD."""
    rate_in, rate_out = Decimal(rates["input_per_million"]), Decimal(rates["output_per_million"])
    return int((rate_in * input_tokens + rate_out * output_tokens) * 1000)


def meter_of(route: Route, kind: str, clock: Clock | None = None) -> Meter:
    path = next(iter(KINDS[kind].paths))
    context = RequestContext("id", CALLER, 1_795_500_000)
    call = ClientCall(context, KINDS[kind], path, Request(route.model, 400))
    return Meter(call.attempt(route, route.targets[0]), route.tariff, clock or SystemClock())


def bill(due: PendingRow) -> tuple[int | None, int | None, dict[str, str], str | None]:
    """Return a row's cost, and from its explanation the cost, the rates of the lines and the exact sum."""
    row, price = due.row, None
    if due.rates is not None and row.price_id is not None:
        price = PriceRecord(row.price_id, due.rates, due.price_source, due.price_version)
    lines, exact_usd = explain(row, price)
    explained = None if exact_usd is None else int(Decimal(exact_usd) * 10**9)
    return row.cost_nano_usd, explained, {line.rate: line.usd for line in lines}, exact_usd


@hypothesis_settings(deadline=None)  # the first loads the price list
@given(MODELS)
def test_every_call_costs_the_price_of_the_model_that_it_names(models: list[Model]) -> None:
    routes = build_routes(settings_of(models), "http://127.0.0.1:1/v1", CATALOGUE)

    for index, model in enumerate(models):
        rates = rates_of(index, model)
        for name in (f"m{index}", f"alias{index}", f"{model.provider}/m{index}"):
            watching = meter_of(routes.find(name, model.kind), model.kind)
            interrupted = interrupted_row(watching.call_started())  # as after a kill
            watching.on_response()
            watching.on_body(ANSWER)
            answered = watching.close(Outcome.OK, 200, None)

            assert (answered.row.model, answered.row.provider) == (f"m{index}", model.provider)
            if rates is None:
                assert bill(answered)[:2] == bill(interrupted)[:2] == (None, None)
            else:
                cost = nano_usd(rates, 1000, answered.row.output_tokens or 0)
                displayed = rates if answered.row.output_tokens else {"input_per_million": rates["input_per_million"]}
                assert bill(answered) == (cost, cost, displayed, usd_text(cost))
                assert bill(interrupted)[:2] == (nano_usd(rates, 100, 0), nano_usd(rates, 100, 0))


def test_provider_that_is_only_called_fake_has_no_price_of_the_built_in_one(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        f'[[providers]]\nname = "{FAKE}"\nbase_url = "http://127.0.0.1:1/v1"\n'
        f'[[models]]\nname = "{FAKES[0].model}"\nprovider = "{FAKE}"\n'
    )

    routes = build_routes(load(config=config, environ={}), None, CATALOGUE)

    assert [route.tariff for route in routes.named] == [None]


@hypothesis_settings(deadline=None)  # the first loads the price list
@given(MODELS)
def test_every_model_is_shown_with_its_own_price(models: list[Model]) -> None:
    settings = settings_of(models)
    routes = build_routes(settings, "http://127.0.0.1:1/v1", CATALOGUE)

    inventory = {
        one.model: one for one in Inventory(routes, HealthTracker(SystemClock()), SystemClock(), CATALOGUE).models()
    }
    checked = checked_of(settings, routes)
    warned = list(config_report.warnings(settings, routes, CATALOGUE))

    for index, model in enumerate(models):
        name, rates = f"m{index}", rates_of(index, model)
        price = inventory[name].price
        assert (None if price is None else price.rates) == rates
        assert (f"models.{name}: no price is known; its calls are counted as unpriced" in warned) is (rates is None)
        if rates is None:
            assert checked[name] == "no price known"
        else:
            output_tokens = 0 if model.kind == "embedding" else 1000
            assert checked[name].endswith(f" cost {usd_text(nano_usd(rates, 1000, output_tokens))} USD")


def checked_of(settings: Settings, routes: Routes) -> dict[str, str]:
    """Return what `check-config` says of each model that has a name of its own."""
    lines = (line.split(maxsplit=1) for line in config_report.report_lines(settings, routes))
    models = (rest.split(": ", 1) for word, rest in lines if word == "model")
    return {head.split()[0]: cost for head, cost in models}


def test_tier_of_an_own_price_has_the_other_rates_of_that_price(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        '[[providers]]\nname = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nprice_factor = 2\n'
        '[[models]]\nname = "gpt-5"\nprovider = "openai"\n'
        "[models.price]\ninput_per_million = 1\noutput_per_million = 2\n"
        "[models.price.tiers.flex]\noutput_per_million = 0\n"
    )
    settings = load(config=config, environ={})

    route = build_routes(settings, None, Catalogue(settings.price_factors)).get("gpt-5")

    assert route is not None
    assert route.tariff is not None
    assert route.tariff.is_override
    prices = {tier: json.loads(route.tariff.price(0, 0, tier).rates) for tier in (None, "flex", "priority")}
    assert prices == {
        None: {"input_per_million": "1", "output_per_million": "2"},
        "flex": {"input_per_million": "1", "output_per_million": "0"},
        "priority": {"input_per_million": "1", "output_per_million": "2"},
    }


@pytest.mark.parametrize(
    ("answers", "outcome", "nano_usd", "lines"),
    [
        pytest.param(True, Outcome.OK, 16_118_800, {"per_request": "0.006", "per_gpu_second": "0.0008"}, id="answered"),
        pytest.param(True, Outcome.PROVIDER_ERROR, 10_118_800, {"per_gpu_second": "0.0008"}, id="broke off"),
        pytest.param(False, Outcome.PROVIDER_ERROR, 0, {}, id="refused"),
    ],
)
def test_machine_of_ones_own_costs_the_time_that_it_answered(
    tmp_path: Path, answers: bool, outcome: Outcome, nano_usd: int, lines: dict[str, str]
) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        '[[providers]]\nname = "own"\nbase_url = "http://127.0.0.1:1/v1"\n'
        '[[models]]\nname = "large"\nprovider = "own"\n'
        "[models.price]\nper_second = 0.0018\nper_gpu_second = 0.0008\ngpus = 8\nper_request = 0.006\n"
    )
    route = build_routes(load(config=config, environ={}), None, CATALOGUE).find("large", "chat")
    clock = ScriptedClock()
    watching = meter_of(route, "chat", clock)

    if answers:
        watching.on_response()
        watching.on_body(ANSWER)
    clock.seconds += 1.234375  # × (0.0018 + 8 × 0.0008) USD
    settled = watching.close(outcome, 200, None)

    assert settled.row.duration_ms == 1234
    assert settled.row.cost_source == "price"
    expected = {**lines, "per_second": "0.0018"} if answers else {}
    assert bill(settled) == (nano_usd, nano_usd, expected, usd_text(nano_usd))
