"""Rules of `hero_broker.settings`."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import msgspec
import pytest

from hero_broker import settings
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.settings import (
    Settings,
    SettingsError,
    StatementSettings,
    TcpListen,
    UnixListen,
    ledger_url,
    listens_of,
    load,
    statements_of,
)
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from hero_broker.settings.load import MAX_PER_MILLION, MAX_PRICES
from hero_broker.util import small_files

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
GROQ = '[[providers]]\nname = "groq"\nbase_url = "https://api.groq.com/openai/v1"\n'
MODEL = GROQ + '[[models]]\nname = "llama"\nprovider = "groq"\n'


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load_text(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    return load(config=write(tmp_path, text), environ=environ or {})


def faults_of(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text, environ)
    return {fault.key: fault.problem for fault in caught.value.faults}


def test_nothing_configured_gives_the_defaults() -> None:
    found = load(config=None, environ={})

    assert found.server.listen == (TcpListen("127.0.0.1", 33850), TcpListen("::1", 33850))
    assert ip_network("400::/7") in found.server.allowed_clients
    assert found.database_url == "sqlite:///hero-broker.db"
    assert found.state_dir.is_absolute()
    assert (found.providers, found.models, found.admin_tokens) == ((), (), ())


def test_file_in_the_working_directory_is_read() -> None:
    Path("hero-broker.toml").write_text("[server]\nmax_calls = 7\n", encoding="utf-8")

    assert load(config=None, environ={}).server.max_calls == 7


def test_flag_wins_over_environment_over_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[database]\nurl = "sqlite:///file.db"\n')
    environ = {"HERO_BROKER_CONFIG": str(path)}
    with_url = environ | {"HERO_BROKER_DATABASE_URL": "sqlite:///environment.db"}

    assert load(config=None, environ=environ).database_url == "sqlite:///file.db"
    assert load(config=None, environ=with_url).database_url == "sqlite:///environment.db"
    assert load(config=None, environ=with_url, database="sqlite:///flag.db").database_url == "sqlite:///flag.db"


def test_config_flag_wins_over_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nmax_calls = 7\n")

    assert load(config=path, environ={"HERO_BROKER_CONFIG": "missing.toml"}).server.max_calls == 7


def test_relative_sqlite_file_is_in_the_state_directory(tmp_path: Path) -> None:
    found = load(config=None, environ={"HERO_BROKER_STATE_DIR": str(tmp_path)}, database="sqlite:///a.db?timeout=5")

    assert found.database_url_absolute == f"sqlite:///{tmp_path}/a.db?timeout=5"


@pytest.mark.parametrize("url", ["sqlite:////srv/a.db", "postgresql://u:p@db:5432/ledger", "postgres://u:p@db/ledger"])
def test_absolute_database_url_stays(url: str) -> None:
    assert load(config=None, environ={}, database=url).database_url_absolute == url


def test_whole_file_is_understood(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    text = '''
        [server]
        listen = ["127.0.0.1:1", "[::1]:2", "localhost:3", "unix:/run/a.sock"]
        allowed_clients = ["::ffff:10.0.0.0/104", "192.0.2.1"]
        trusted_proxies = ["10.0.0.0/8", "unix"]
        trusted_header = "forwarded"
        grace_s = 0.5
        [[providers]]
        name = "p"
        base_url = "http://127.0.0.1:8000/v1/"
        api_keys = ["env:KEY", "file:key", "literal"]
        stream_usage = false
        [[models]]
        name = "m"
        aliases = ["n"]
        kind = "rerank"
        provider = "p"
        upstream_model = "up"
        max_output_tokens = 32_000
        [models.price]
        input_per_million = 0.59
        per_request = 1
        [models.price.tiers.flex]
        input_per_million = 0.3
        [responses]
        max_event_bytes = 2_000_000
        [statements]
        from = "Example Ltd"
        contact = """
Example Street 1 \t
8000 Z\u00fcrich

billing@example.org
"""
        note = "Within 30 days."
    '''

    found = load_text(tmp_path, text, {"KEY": "from-environment"})

    assert found.server.listen[2:] == (TcpListen("localhost", 3), UnixListen(Path("/run/a.sock")))
    assert found.server.allowed_clients == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"))
    assert found.server.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert found.server.trust_unix
    assert found.server.grace_s == 0.5
    assert found.providers[0].base_url == "http://127.0.0.1:8000/v1"
    assert found.providers[0].api_keys == ("from-environment", "from-file", "literal")
    assert not found.providers[0].stream_usage
    model = found.models[0]
    assert (model.name, model.aliases, model.kind, model.upstream_model) == ("m", ("n",), "rerank", "up")
    assert model.max_output_tokens == 32_000
    assert model.price is not None
    assert (model.price.input_per_million, model.price.per_request) == (Decimal("0.59"), Decimal(1))
    assert model.price.output_per_million is None
    assert model.price_tiers == {"flex": settings.PriceSettings(input_per_million=Decimal("0.3"))}
    assert found.responses.max_event_bytes == 2_000_000
    contact = "Example Street 1\n8000 Zürich\n\nbilling@example.org"
    assert found.statements == StatementSettings("Example Ltd", contact, "Within 30 days.")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(
            "tiers = 1\n", {"tiers": "must be a table of tables, such as [models[0].price.tiers.NAME]"}, id="number"
        ),
        pytest.param(
            "tiers.flex = 1\n", {"tiers": "must be a table of tables, such as [models[0].price.tiers.NAME]"}, id="rate"
        ),
        pytest.param(
            "tiers.default.per_request = 1\n",
            {"tiers.default": "must not be auto or default or standard: that is the price itself"},
            id="ordinary",
        ),
        pytest.param(
            "tiers.'\t'.per_request = 1\n",
            {"tiers": "must have printable names, as the provider reports them"},
            id="name",
        ),
        pytest.param(
            "tiers.Flex.per_request = 1\n",
            {"tiers.Flex": "must be in lower case, as 'flex'; answers may spell it as they like"},
            id="upper case",
        ),
        pytest.param("per_gpu_second = 0.1\ngpus = 0\n", {"gpus": "must be at least 0.01"}, id="no graphics processor"),
        pytest.param(
            "tiers.flex.per_reqest = 1\ntiers.flex.per_request = 2\n",
            {"tiers.flex.per_reqest": 'is not a known key; did you mean "per_request"?'},
            id="unknown rate",
        ),
        pytest.param(
            "tiers.flex.per_image = 2\n",
            {"tiers.flex.per_image": "must be a number from 0 to 1 with at most 12 decimal places"},
            id="too high",
        ),
    ],
)
def test_faults_of_tiers_name_their_keys(tmp_path: Path, text: str, faults: dict[str, str]) -> None:
    found = faults_of(tmp_path, MODEL + "[models.price]\nper_request = 1\n" + text)

    assert found == {f"models[0].price.{key}": problem for key, problem in faults.items()}


def test_tier_needs_a_rate_as_its_price_does(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, MODEL + "[models.price.tiers.flex]\n")

    assert list(faults) == ["models[0].price.tiers.flex", "models[0].price"]


@pytest.mark.parametrize(
    ("text", "factors"), [("", {}), ("price_factor = 1.0\n", {}), ("price_factor = 1.1\n", {"groq": Decimal("1.1")})]
)
def test_factor_on_prices_is_of_its_provider(tmp_path: Path, text: str, factors: dict[str, Decimal]) -> None:
    assert load_text(tmp_path, GROQ + text).price_factors == factors


URL = "https://api.groq.com/openai/v1"
CLAUDE = "https://api.example/anthropic"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        pytest.param("", {"openai": URL, "responses": URL}, id="default"),
        pytest.param('wires = ["anthropic"]', {"anthropic": URL}, id="list"),
        pytest.param('wires = ["anthropic", "openai"]', {"openai": URL, "anthropic": URL}, id="both"),
        pytest.param(
            f'wires = {{ anthropic = "{CLAUDE}/" }}',
            {"openai": URL, "responses": URL, "anthropic": CLAUDE},
            id="another URL",
        ),
        pytest.param(f'wires.openai = "{CLAUDE}"', {"openai": CLAUDE, "responses": URL}, id="OpenAI's at another URL"),
        pytest.param("[providers.wires]", {"openai": URL, "responses": URL}, id="empty table"),
    ],
)
def test_wires_have_the_base_url_or_their_own(tmp_path: Path, text: str, urls: dict[str, str]) -> None:
    (provider,) = load_text(tmp_path, GROQ + text + "\n").providers

    assert dict(provider.wire_urls) == urls
    assert list(provider.wire_urls) == list(urls)


def test_anthropics_host_speaks_both_wires(tmp_path: Path) -> None:
    (provider,) = load_text(tmp_path, "", {"ANTHROPIC_API_KEY": "k"}).providers

    assert dict(provider.wire_urls) == dict.fromkeys(("openai", "anthropic"), "https://api.anthropic.com/v1")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("wires = []", "wires"),
        ('wires = ["gemini"]', "wires[0]"),
        ('wires = "anthropic"', "wires"),
        ('wires.gemini = "https://a.example"', "wires.gemini"),
        ('wires.anthropic = "a.example"', "wires.anthropic"),
        ('wires.anthropic = "https://a.example/v1/messages"', "wires.anthropic"),
        ('auth = "basic"', "auth"),
        ('drop_betas = ["a b"]', "drop_betas[0]"),
        ('drop_betas = "a"', "drop_betas"),
    ],
)
def test_wrong_wire_way_of_the_key_or_beta_is_a_fault(tmp_path: Path, text: str, key: str) -> None:
    assert list(faults_of(tmp_path, GROQ + text + "\n")) == [f"providers[0].{key}"]


def test_way_of_the_key_and_betas_are_of_their_provider(tmp_path: Path) -> None:
    text = 'auth = "x-api-key"\ndrop_betas = ["context-management-2025-06-27"]\n'

    (provider,) = load_text(tmp_path, GROQ + text).providers

    assert (provider.auth, provider.drop_betas) == ("x-api-key", ("context-management-2025-06-27",))


@pytest.mark.parametrize("value", ["0", "0.09", "10.1", "110", "nan", '"1.1"', "1.0000000000001"])
def test_factor_out_of_bounds_is_a_fault(tmp_path: Path, value: str) -> None:
    assert list(faults_of(tmp_path, GROQ + f"price_factor = {value}\n")) == ["providers[0].price_factor"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 750), ("max_calls = 10", 8), ("max_calls = 1", 1), ("max_calls_per_address = 3", 3)],
)
def test_share_of_an_address_is_three_quarters_of_all_calls(tmp_path: Path, text: str, expected: int) -> None:
    assert load_text(tmp_path, f"[server]\n{text}\n").server.max_calls_per_address == expected


def test_provider_may_have_timeouts_of_its_own(tmp_path: Path) -> None:
    text = "[upstream]\nidle_timeout_s = 30\n" + GROQ + "whole_answer_timeout_s = 50\n"

    found = load_text(tmp_path, text)

    assert (found.upstream.idle_timeout_s, found.upstream.whole_answer_timeout_s) == (30, 600)
    assert found.providers[0].timeouts == replace(found.upstream, whole_answer_timeout_s=50)
    assert load_text(tmp_path, GROQ).providers[0].timeouts is None


def test_whole_answer_may_not_take_longer_than_the_call(tmp_path: Path) -> None:
    shorter = load_text(tmp_path, "[upstream]\ntotal_timeout_s = 100\n" + GROQ + "total_timeout_s = 70\n")
    faults = faults_of(tmp_path, "[upstream]\nwhole_answer_timeout_s = 601")

    assert shorter.upstream.whole_answer_timeout_s == 100
    assert shorter.providers[0].timeouts is not None
    assert shorter.providers[0].timeouts.whole_answer_timeout_s == 70
    assert faults == {"upstream.whole_answer_timeout_s": "must be at most total_timeout_s, which is 600"}


def test_upstream_model_is_the_name_by_default(tmp_path: Path) -> None:
    model = load_text(tmp_path, MODEL).models[0]

    assert (model.upstream_model, model.kind, model.price, model.max_output_tokens) == ("llama", "chat", None, None)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://chat.example.org", "https://chat.example.org"),
        ("HTTPS://Chat.Example.org:443", "https://chat.example.org"),
        ("http://chat.example.org:80", "http://chat.example.org"),
        ("http://chat.example.org:443", "http://chat.example.org:443"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_origin_is_a_scheme_and_a_host(tmp_path: Path, written: str, origin: str) -> None:
    assert load_text(tmp_path, f'[server]\nallowed_origins = ["{written}"]').server.allowed_origins == (origin,)


def test_no_page_may_call_by_default(tmp_path: Path) -> None:
    assert load_text(tmp_path, "").server.allowed_origins == ()


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, MODEL + '[server]\nmax_calls = 0\ntrusted_header = "x"\n[upstream]\nidle = 1\n')

    assert list(faults) == ["server.max_calls", "server.trusted_header", "upstream.idle"]


def test_statements_are_read_alone_with_all_their_faults(tmp_path: Path) -> None:
    file = tmp_path / "hero-broker.toml"
    environ = {"HERO_BROKER_CONFIG": str(file)}
    others = '[server]\nmax_calls = 0\n[[providers]]\nname = "p"\nbase_url = "x"\napi_keys = ["env:MISSING"]\n'
    file.write_text(f'{others}[statements]\nfrom = "Example Ltd"\n', encoding="utf-8")

    assert statements_of(environ) == StatementSettings("Example Ltd", "", "")

    file.write_text(f'{others}[statements]\nfrom = "a\\nb"\nnote = "\\u0007"\nform = ""\n', encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        statements_of(environ)

    assert [fault.key for fault in caught.value.faults] == ["statements.from", "statements.note", "statements.form"]
    assert 'did you mean "from"?' in caught.value.faults[-1].problem


def test_unknown_key_is_a_fault_with_a_suggestion(tmp_path: Path) -> None:
    assert 'did you mean "listen"?' in faults_of(tmp_path, "[server]\nlisen = []\n")["server.lisen"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("server = 1", "server", id="no table"),
        pytest.param('[statements]\nfrom = " a"', "statements.from", id="space before a name"),
        pytest.param(f'[statements]\nfrom = "{"a" * 201}"', "statements.from", id="long name"),
        pytest.param(f'[statements]\ncontact = "{"a" * 2001}"', "statements.contact", id="long contact"),
        pytest.param('[statements]\nnote = "a\\u202eb"', "statements.note", id="reversed note"),
        pytest.param("[statements]\nnote = 1", "statements.note", id="note is a number"),
        pytest.param("[server]\nlisten = []", "server.listen", id="no listen"),
        pytest.param('[server]\nlisten = "127.0.0.1:1"', "server.listen", id="listen is no array"),
        pytest.param('[server]\nlisten = ["127.0.0.1:1", "127.0.0.1:1"]', "server.listen", id="listen twice"),
        pytest.param('[server]\nlisten = ["::1:33850"]', "server.listen[0]", id="no brackets"),
        pytest.param('[server]\nlisten = ["127.0.0.1:70000"]', "server.listen[0]", id="port too large"),
        pytest.param('[server]\nlisten = ["example.org:80"]', "server.listen[0]", id="host name"),
        pytest.param('[server]\nlisten = ["unix:a.sock"]', "server.listen[0]", id="relative socket"),
        pytest.param("[server]\nlisten = [1]", "server.listen[0]", id="listen is a number"),
        pytest.param('[server]\nallowed_clients = ["10.0.0.1/8"]', "server.allowed_clients[0]", id="host bits"),
        *(
            pytest.param(
                f'[server]\nallowed_origins = ["{origin}"]', "server.allowed_origins[0]", id=f"origin {origin}"
            )
            for origin in (
                *(
                    "*",
                    "null",
                    "",
                    "https://",
                    "chat.example.org",
                    "https://*.example.org",
                    "https://a/",
                    "https://a/b",
                ),
                *("https://a?b", "https://a#b", "https://u@a", "https://a:0", "https://a:65536", "https://a:"),
                *("https://[::g]", "https://a b", "https://bücher.example", "http://\\u212Aelvin", "file://"),
            )
        ),
        pytest.param('[server]\nallowed_origins = "https://a"', "server.allowed_origins", id="origins are no array"),
        pytest.param('[server]\ntrusted_proxies = ["x"]', "server.trusted_proxies[0]", id="bad proxy"),
        pytest.param("[server]\nmax_calls = true", "server.max_calls", id="boolean for integer"),
        pytest.param("[server]\ngrace_s = nan", "server.grace_s", id="NaN seconds"),
        pytest.param("[upstream]\nidle_timeout_s = 0", "upstream.idle_timeout_s", id="no time at all"),
        pytest.param('[upstream]\nidle_timeout_s = "1"', "upstream.idle_timeout_s", id="text for seconds"),
        pytest.param('[database]\nurl = "mysql://h/d"', "database.url", id="unknown database"),
        pytest.param('[database]\nurl = "sqlite:///:memory:"', "database.url", id="database in memory"),
        pytest.param('[billing]\nunpriced = "maybe"', "billing.unpriced", id="unknown word"),
        pytest.param('[billing]\nprice_list = "prices.json"', "billing.price_list", id="relative path"),
        pytest.param("providers = 1", "providers", id="providers are no tables"),
        pytest.param(GROQ + GROQ, "providers[1].name", id="provider twice"),
        pytest.param(GROQ.replace('"groq"', '"a/b"'), "providers[0].name", id="slash in provider"),
        pytest.param(GROQ.replace("https", "ftp"), "providers[0].base_url", id="not http"),
        pytest.param(GROQ.replace("//", "//u:p@"), "providers[0].base_url", id="user in URL"),
        pytest.param('[[providers]]\nname = "p"', "providers[0].base_url", id="no base URL"),
        pytest.param(GROQ + "stream_usage = 1", "providers[0].stream_usage", id="integer for boolean"),
        pytest.param(GROQ + 'api_keys = ["env:NONE"]', "providers[0].api_keys[0]", id="variable not set"),
        pytest.param(GROQ + 'api_keys = ["file:none"]', "providers[0].api_keys[0]", id="no such file"),
        pytest.param(GROQ + 'api_keys = ["a b"]', "providers[0].api_keys[0]", id="space in key"),
        pytest.param(MODEL + 'kind = "image"', "models[0].kind", id="unknown kind"),
        pytest.param(MODEL + 'aliases = ["llama"]', "models[0].aliases", id="alias is a name"),
        pytest.param(MODEL + MODEL[len(GROQ) :], "models[1].name", id="model twice"),
        pytest.param(MODEL.replace("llama", "x" * 201), "models[0].name", id="name too long"),
        pytest.param(MODEL + 'upstream_model = ""', "models[0].upstream_model", id="empty upstream model"),
        pytest.param(MODEL + "max_output_tokens = 0", "models[0].max_output_tokens", id="no output tokens"),
        pytest.param(MODEL + "[models.price]", "models[0].price", id="empty price"),
    ],
)
def test_fault_names_its_key_alone(tmp_path: Path, text: str, key: str) -> None:
    assert list(faults_of(tmp_path, text)) == [key]


@pytest.mark.parametrize(
    "value", ["-1", "-0.1", "nan", "inf", "1e10", "1e-13", "1e99999999999999999999", '"1"', "true"]
)
def test_price_out_of_bounds_is_a_fault(tmp_path: Path, value: str) -> None:
    faults = faults_of(tmp_path, MODEL + f"[models.price]\ninput_per_million = {value}\n")

    assert list(faults) == ["models[0].price.input_per_million"]


@pytest.mark.parametrize("name", [field.name for field in fields(settings.PriceSettings)])
def test_price_that_is_too_high_is_a_fault_with_the_bound_of_its_unit(tmp_path: Path, name: str) -> None:
    most = MAX_PRICES.get(name, MAX_PER_MILLION)
    others = {"audio_minimum_s": "per_request = 1\n", "gpus": "per_gpu_second = 1\n"}.get(name, "")

    found = load_text(tmp_path, MODEL + f"[models.price]\n{name} = {most}\n{others}").models[0].price
    faults = faults_of(tmp_path, MODEL + f"[models.price]\n{name} = {most}.000000000001\n{others}")

    assert getattr(found, name) == most
    assert faults == {f"models[0].price.{name}": f"must be a number from 0 to {most} with at most 12 decimal places"}


def test_minimum_of_audio_is_no_price_alone(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, MODEL + "[models.price]\naudio_minimum_s = 10\n")

    assert list(faults) == ["models[0].price"]
    assert "audio_minimum_s" not in faults["models[0].price"]


def test_number_of_gpus_needs_their_rate(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, MODEL + "[models.price]\nper_second = 0.001\ngpus = 8\n")

    assert faults == {
        "models[0].price.gpus": "needs per_gpu_second beside it, the rate that is multiplied by it",
    }


def test_dearest_call_that_is_believed_stays_below_what_64_bits_hold() -> None:
    rates = [field.name for field in fields(settings.PriceSettings)]
    dearest = Price.from_rates(json.dumps({name: str(MAX_PRICES.get(name, MAX_PER_MILLION)) for name in rates}))
    everything = Usage(**dict.fromkeys(Usage.__struct_fields__, MAX_UNITS))
    by_tokens = Usage(input_tokens=MAX_UNITS, output_tokens=MAX_UNITS, search_units=MAX_UNITS)
    shortest = Usage(audio_ms=1)
    longest_ms = 2 * 86_400_000  # a day to connect, and a day for the response

    costs = [cost_of(usage, dearest, duration_ms=longest_ms) for usage in (everything, by_tokens, shortest)]

    assert all(cost is not None and 0 < cost < 2**63 for cost in costs)


def test_every_listed_price_is_within_the_bounds() -> None:
    catalogue = Catalogue()
    tariffs = (
        catalogue.tariff(provider.name, model)
        for provider in KNOWN_PROVIDERS
        for model in catalogue.models(provider.name)
    )
    prices = [price for tariff in tariffs if tariff for price in tariff.prices()]

    too_high = [
        (price, name)
        for price in prices
        for name, rate in json.loads(price.rates).items()
        if Decimal(rate) * 25 > MAX_PRICES.get(name, MAX_PER_MILLION)
    ]
    assert len(prices) > 1000
    assert too_high == []


NO_SECRETS = [
    pytest.param("${MARKED_KEY}", "reference", id="shell, braces"),
    pytest.param("$MARKED_KEY", "reference", id="shell"),
    pytest.param("%MARKED_KEY%", "reference", id="Windows"),
    pytest.param("{{MARKED_KEY}}", "reference", id="template"),
    pytest.param("os.environ/MARKED_KEY", "reference", id="another gateway's"),
    pytest.param("process.env.MARKED_KEY", "reference", id="JavaScript"),
    pytest.param("ENV:MARKED_KEY", "reference", id="ours in capitals"),
    pytest.param('"sk-marked"', "quotation marks", id="double quotes"),
    pytest.param("'sk-marked'", "quotation marks", id="single quotes"),
    pytest.param('sk-marked"', "quotation marks", id="half a quote"),
    pytest.param("YOUR_MARKED_API_KEY", "placeholder", id="your key"),
    pytest.param("sk-your-marked-key", "placeholder", id="your key with a prefix"),
    pytest.param("sk-marked...", "placeholder", id="dots"),
    pytest.param("<marked>", "placeholder", id="angle brackets"),
    pytest.param("changeme", "placeholder", id="changeme"),
    pytest.param("sk-xxxxxxxx", "placeholder", id="crosses"),
    pytest.param("null", "placeholder", id="null"),
    pytest.param("marked\nkey", "printable", id="line end"),
    pytest.param("marked\x01", "printable", id="control character"),
]


@pytest.mark.parametrize(("text", "said"), NO_SECRETS)
def test_secret_that_cannot_be_one_is_a_fault_wherever_it_stands(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "key").write_text(f"{text}\n", encoding="utf-8")
    references = [msgspec.json.encode(one).decode() for one in (text, "env:KEY", "file:key")]
    environ = {"KEY": text, "ADMIN_TOKEN": text, "HERO_SECRET": text}
    faults = faults_of(tmp_path, f"{GROQ}api_keys = [{', '.join(references)}]\n", environ)
    with pytest.raises(SettingsError) as caught:
        load(config=None, environ={"GROQ_API_KEY": text, "OPENAI_API_KEYS": f"sk-1,{text}"})
    by_environment = {fault.key: fault.problem for fault in caught.value.faults}

    keys = [f"providers[0].api_keys[{index}]" for index in range(3)]
    assert list(faults) == [*keys, "ADMIN_TOKEN", "HERO_SECRET"]
    assert list(by_environment) == ["OPENAI_API_KEYS", "GROQ_API_KEY"]
    assert all(said in problem for problem in [*faults.values(), *by_environment.values()])
    assert all('"env:NAME", "file:PATH" or the key itself' in faults[key] for key in keys)
    assert "marked" not in str([*faults.values(), *by_environment.values()]).lower()


@pytest.mark.parametrize("text", ["sk-proj-a_B-9", "gsk_1x", "EMPTY", "ollama", "a.b.c", "AIzaSy-x_x", "$2b$12$x"])
def test_key_that_may_be_one_is_taken(tmp_path: Path, text: str) -> None:
    found = load_text(tmp_path, f'{GROQ}api_keys = ["{text}"]\n', {"ADMIN_TOKEN": text})

    assert (found.providers[0].api_keys, found.admin_tokens) == ((text,), (text,))


def test_key_of_a_provider_is_ascii_without_spaces_and_a_token_of_the_admin_plane_need_not_be(tmp_path: Path) -> None:
    for text in ("tok\u00e9n", "my token"):
        found = load_text(tmp_path, "", {"ADMIN_TOKEN": text})

        assert found.admin_tokens == (text,)
        assert list(faults_of(tmp_path, f'{GROQ}api_keys = ["{text}"]\n')) == ["providers[0].api_keys[0]"]


def test_empty_key_and_empty_reference_are_faults(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    faults = faults_of(tmp_path, f'{GROQ}api_keys = ["", "env:", "env:sk-marked", "file:key", "file:"]\n')

    assert list(faults) == [f"providers[0].api_keys[{index}]" for index in range(5)]
    assert "marked" not in str(faults)


def test_byte_order_marks_are_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n", encoding="utf-8-sig")
    path = tmp_path / "settings.toml"
    path.write_text(f'{GROQ}api_keys = ["file:key"]\n', encoding="utf-8-sig")

    assert load(config=path, environ={}).providers[0].api_keys == ("sk-1",)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        pytest.param(f'{GROQ}api_keys = ["sk-1", "sk-2"]\n', ["settings.toml"], id="keys"),
        pytest.param('[database]\nurl = "postgresql://u:p@h/d"\n', ["settings.toml"], id="password"),
        pytest.param(f'{GROQ}api_keys = ["file:key", "env:KEY"]\n', ["key"], id="file of a key"),
        pytest.param(f'{GROQ}api_keys = ["env:KEY"]\n', [], id="no secret"),
        pytest.param('[database]\nurl = "postgresql://u@h/d"\n', [], id="no password"),
    ],
)
def test_secret_in_a_file_that_everybody_may_read_is_warned_of(public: Path, text: str, warned: list[str]) -> None:
    (public / "key").write_text("sk-3\n")
    (public / "key").chmod(0o644)
    path = write(public, text)
    path.chmod(0o644)
    open_to_all = load(config=path, environ={"KEY": "sk-4"}).warnings
    path.chmod(0o640)
    (public / "key").chmod(0o640)
    closed = load(config=path, environ={"KEY": "sk-4"}).warnings
    path.chmod(0o644)
    public.chmod(0o750)
    below_closed = load(config=path, environ={"KEY": "sk-4"}).warnings

    assert [warning.partition(" holds ")[0] for warning in open_to_all] == [str(public / name) for name in warned]
    assert (closed, below_closed) == ((), ())


def test_fake_keeps_a_ledger_of_its_own_unless_the_flag_names_one(tmp_path: Path) -> None:
    path = write(tmp_path, '[database]\nurl = "postgresql://u@h/d"\n')
    environ = {"HERO_BROKER_STATE_DIR": str(tmp_path), "HERO_BROKER_DATABASE_URL": "sqlite:///real.db"}

    real = load(config=path, environ=environ)
    fake = load(config=path, environ=environ, fake=True)
    chosen = load(config=path, environ=environ, fake=True, database="sqlite:///chosen.db")

    assert (real.state_dir, real.database_url_absolute) == (tmp_path, f"sqlite:///{tmp_path}/real.db")
    assert (fake.state_dir, fake.database_url_absolute) == (
        tmp_path / "fake",
        f"sqlite:///{tmp_path}/fake/hero-broker.db",
    )
    assert chosen.database_url_absolute == f"sqlite:///{tmp_path}/fake/chosen.db"


def test_where_a_broker_listens_is_read_without_its_keys(tmp_path: Path) -> None:
    path = write(tmp_path, f'[server]\nlisten = ["127.0.0.1:7"]\nunknown = 1\n{GROQ}api_keys = ["env:NONE"]\n')

    assert listens_of({"HERO_BROKER_CONFIG": str(path)}) == (TcpListen("127.0.0.1", 7),)
    assert listens_of({}) == (TcpListen("127.0.0.1", 33850), TcpListen("::1", 33850))
    with pytest.raises(SettingsError, match=r"^server\.listen\[0\]: must be"):
        listens_of({"HERO_BROKER_CONFIG": str(write(tmp_path, '[server]\nlisten = ["x"]\n'))})


def test_ledger_is_found_without_the_settings_file(tmp_path: Path) -> None:
    Path("hero-broker.toml").write_text("not TOML", encoding="utf-8")
    environ = {"HERO_BROKER_STATE_DIR": str(tmp_path)}

    assert ledger_url("sqlite:///a.db?timeout=5", environ) == f"sqlite:///{tmp_path}/a.db?timeout=5"
    assert ledger_url("sqlite:////srv/a.db", environ) == "sqlite:////srv/a.db"
    assert ledger_url("postgresql://u@h/d", {}) == "postgresql://u@h/d"
    with pytest.raises(SettingsError, match=r"^--database: must be"):
        ledger_url("mysql://h/d", environ)


def test_model_of_an_unknown_provider_is_a_fault(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, MODEL.replace('provider = "groq"', 'provider = "grok"'))

    assert '"groq"' in faults["models[0].provider"]


def test_model_may_name_the_fake_provider_only_when_it_is_there(tmp_path: Path) -> None:
    text = '[[models]]\nname = "m"\nprovider = "fake"\n'

    assert load(config=write(tmp_path, text), environ={}, fake=True).models[0].provider == "fake"
    assert list(faults_of(tmp_path, text)) == ["models[0].provider"]


def test_name_of_the_fake_provider_is_taken_when_it_is_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^providers\[0\]\.name: "):
        load(config=write(tmp_path, GROQ.replace('"groq"', '"fake"')), environ={}, fake=True)


@pytest.mark.parametrize("content", [b"a = ", b"\xff", b"a = " + b"[" * 5000], ids=["syntax", "bytes", "depth"])
def test_file_that_is_no_toml_is_a_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=r"^--config: must name a TOML file"):
        load(config=path, environ={})


def test_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^HERO_BROKER_CONFIG: must name a readable TOML file"):
        load(config=None, environ={"HERO_BROKER_CONFIG": str(tmp_path / "none.toml")})


def test_faults_of_flags_and_variables_name_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"HERO_BROKER_STATE_DIR": str(tmp_path / "file"), "GROQ_API_KEY": "a b"}

    with pytest.raises(SettingsError) as caught:
        load(config=None, environ=environ, listen=["x"], database="x")

    keys = [fault.key for fault in caught.value.faults]
    assert keys == ["--listen", "--database", "HERO_BROKER_STATE_DIR", "GROQ_API_KEY"]


def test_providers_come_from_the_environment_when_the_file_has_none() -> None:
    environ = {"GROQ_API_KEY": "one", "GROQ_API_KEYS": "one, two,", "OPENAI_API_KEY": "three", "SAMBANOVA_API_KEY": " "}

    found = load(config=None, environ=environ)

    assert [(one.name, one.api_keys) for one in found.providers] == [("openai", ("three",)), ("groq", ("one", "two"))]


def test_providers_of_the_file_replace_those_of_the_environment(tmp_path: Path) -> None:
    found = load_text(tmp_path, GROQ, {"OPENAI_API_KEY": "k"})

    assert [one.name for one in found.providers] == ["groq"]


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"])
def test_dev_mode_listens_on_loopback_alone(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"^--listen: .*loopback.*--insecure-dev"):
        load(config=None, environ={"ADMIN_TOKEN": " "}, listen=[listen])

    assert load(config=None, environ={}, listen=[listen], insecure_dev=True).insecure_dev
    assert load(config=None, environ={"HERO_SECRET": "s"}, listen=[listen]).admin_tokens == ("s",)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = GROQ + 'api_keys = ["hidden"]\n[database]\nurl = "postgresql://u:hidden@h/d"\n'

    assert "hidden" not in repr(load_text(tmp_path, text, {"ADMIN_TOKEN": "hidden"}))
    assert "hidden" not in str(faults_of(tmp_path, text.replace("hidden", "hidden hidden").replace("@h/", "@h:x/")))


def test_every_key_is_in_the_reference() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    classes = [value for name, value in vars(settings).items() if name.endswith("Settings") and value is not Settings]

    keys = {one.name for each in classes for one in fields(each)} | {known.variable for known in KNOWN_PROVIDERS}
    keys -= {"trust_unix"}  # the word "unix" among `trusted_proxies`
    keys = keys - {"issuer"} | {"from"}  # a keyword of Python
    keys = keys - {"price_tiers"} | {"tiers"}  # a key of the table `[models.price]`

    assert len(classes) == 9
    assert sorted(key for key in keys if f"`{key}`" not in page and f"[{key}]" not in page) == []


def test_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "from-process")

    assert os.environ["ADMIN_TOKEN"]
    assert load(config=None, environ={}).admin_tokens == ()


ENDPOINTS = {
    "https://a.example/v1/chat/completions": ("/chat/completions", "https://a.example/v1"),
    "https://a.example/v1/chat/completions/": ("/chat/completions", "https://a.example/v1"),
    "https://a.example/v1/completions": ("/completions", "https://a.example/v1"),
    "https://a.example/v1/Embeddings": ("/Embeddings", "https://a.example/v1"),
    "https://a.example/v1/responses": ("/responses", "https://a.example/v1"),
    "https://a.example/v1/messages": ("/messages", "https://a.example/v1"),
    "https://a.example/v2/rerank": ("/rerank", "https://a.example/v2"),
    "https://a.example/v1/audio/speech": ("/audio/speech", "https://a.example/v1"),
    "https://a.example/v1/audio/transcriptions": ("/audio/transcriptions", "https://a.example/v1"),
}


@pytest.mark.parametrize(("base_url", "named"), ENDPOINTS.items(), ids=ENDPOINTS)
def test_base_url_with_the_path_of_a_call_is_a_fault_that_names_the_right_one(
    tmp_path: Path, base_url: str, named: tuple[str, str]
) -> None:
    faults = faults_of(tmp_path, f'[[providers]]\nname = "p"\nbase_url = "{base_url}"\n')

    endpoint, right = named
    assert faults == {
        "providers[0].base_url": f'must end before "{endpoint}", which each call adds; write "{right}"',
    }


@pytest.mark.parametrize("path", ["", "/v1", "/openai/v1", "/chat", "/my-embeddings", "/compatibility/v1"])
def test_other_base_urls_stay(tmp_path: Path, path: str) -> None:
    found = load_text(tmp_path, f'[[providers]]\nname = "p"\nbase_url = "https://a.example{path}"\n')

    assert found.providers[0].base_url == f"https://a.example{path}"


def endless(tmp_path: Path, kind: str) -> Path:
    """Return a file that has no end."""
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge file":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path = Path("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["device", "pipe", "huge file"])
def test_file_of_a_key_that_has_no_end_is_a_fault(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_files, "WITHIN_S", 0.1)
    faults = faults_of(tmp_path, f'{GROQ}api_keys = ["file:{endless(tmp_path, kind)}"]\n')

    reason = "it has not ended after 0.1 s" if kind == "pipe" else "it is longer than 100000 bytes"
    assert faults["providers[0].api_keys[0]"].endswith(f'must be a readable text file ("file:PATH"); {reason}')


@pytest.mark.parametrize("kind", ["device", "pipe", "huge file"])
@pytest.mark.parametrize("key", ["--config", "HERO_BROKER_CONFIG"])
def test_settings_file_that_has_no_end_is_a_fault(
    tmp_path: Path, kind: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_files, "WITHIN_S", 0.1)
    path = endless(tmp_path, kind)
    config, environ = (path, {}) if key == "--config" else (None, {key: str(path)})

    with pytest.raises(SettingsError, match=rf"^{key}: must name a readable TOML file; .*: it (has not|is longer)"):
        load(config=config, environ=environ)
