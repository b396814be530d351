"""Another price list is put in force while a broker runs, and is there after its restart."""

import base64
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from hero_broker.cli import cli
from hero_broker.pricing.kept_list import FILE
from tests.e2e.provider import Exchange, Provider
from tests.e2e_support import Broker, broker, chat, started_broker
from tests.pricing.genai_data.publish import provider, publish

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"model":"gpt-4o-mini","choices":[{}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
)
LIST = publish(
    [
        provider(
            "openai",
            gpt_4o={"input_mtok": 10, "output_mtok": 20},
            **{"gpt-4o-mini": {"input_mtok": 1, "output_mtok": 2}, "gpt-next": {"input_mtok": 3, "output_mtok": 4}},
        )
    ]
)
# 40 tokens in and 3 out of gpt-4o-mini, which answers: at 0.15 and 0.60 USD per million, and at 1 and 2.
INSTALLED, TAKEN = "7800", "46000"
KEPT = f"state/fake/{FILE}"


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content)).decode()


def refresh(running: Broker, price_list: str | None = None, **options: bool) -> dict[str, Any]:
    """Return what `prices.refresh` answers."""
    params = {**options} if price_list is None else {"price_list": price_list, **options}
    request = {"jsonrpc": "2.0", "id": 1, "method": "prices.refresh", "params": params}
    return dict(httpx.post(f"{running.url}/rpc", json=request, timeout=30).json())


@contextmanager
def calling(running: Broker, upstream: Provider) -> Iterator[Exchange]:
    """Call gpt-4o, and yield what the provider got; it answers at the end of the block."""
    body = {**chat(), "model": "gpt-4o"}
    client = Thread(target=lambda: httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=20))
    client.start()
    try:
        exchange = upstream.accept()
        yield exchange
        exchange.send(ANSWER)
        exchange.end()
    finally:
        client.join(20)


def costs(running: Broker) -> list[str]:
    """Return the costs of all calls, the oldest first, in nano-USD."""
    running.usage()
    rows = httpx.get(f"{running.url}/billing/requests").json()["data"]
    return [row["cost_nano_usd"] for row in reversed(rows)]


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with Provider() as listening:
        yield listening


@pytest.fixture
def config(tmp_path: Path, upstream: Provider) -> str:
    path = tmp_path / "broker.toml"
    path.write_text(
        f'[[providers]]\nname = "openai"\nbase_url = "{upstream.url}"\n'
        '[[models]]\nname = "ours"\nprovider = "openai"\nupstream_model = "gpt-4o"\n'
        '[[models]]\nname = "fixed"\nprovider = "openai"\n[models.price]\nper_request = 1\n'
    )
    return str(path)


def test_list_is_in_force_for_later_calls_and_after_a_restart(tmp_path: Path, config: str, upstream: Provider) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(LIST)
    with broker(tmp_path / "state", "--config", config) as running:
        with calling(running, upstream):
            command = ["prices", "refresh", "--file", str(file)]
            tried = CliRunner().invoke(cli, [*command, "--dry-run"], env={"HERO_BROKER_URL": running.url})
            taken = CliRunner().invoke(cli, command, env={"HERO_BROKER_URL": running.url})
        with calling(running, upstream):
            pass
        in_force = httpx.get(f"{running.url}/admin/prices").json()
        before = costs(running)
    with broker(tmp_path / "state", "--config", config) as running:
        with calling(running, upstream):
            pass
        after = costs(running)
        lists = httpx.get(f"{running.url}/admin/prices").json()["lists"]

    assert taken.exit_code == 0, taken.output
    assert (tmp_path / KEPT).exists()
    lines = [line.split() for line in taken.stdout.splitlines()]
    assert ["ours", "openai", "changed", "output_per_million", "10", "20"] in lines
    assert ["gpt-4o", "openai", "changed", "input_per_million", "2.5", "10"] in lines
    assert "fixed" not in {line[0] for line in lines}
    assert len({line[0] for line in lines if line[1] == "openai"}) == 20
    assert " more models: --json prints them all.\n" in taken.stdout
    assert "Not served any more: " in taken.stdout
    assert tried.stdout.splitlines()[:-3] == taken.stdout.splitlines()[:-2]
    assert "Nothing was changed." in tried.stdout.splitlines()[-3]
    assert before == [INSTALLED, TAKEN]
    assert after == [INSTALLED, TAKEN, TAKEN]
    assert lists == in_force["lists"]
    assert lists[0]["version"].startswith("of 20")
    assert lists[0]["taken_at"] > 1_700_000_000
    assert {price["model"] for price in in_force["data"]} >= {"ours", "fixed", "gpt-4o", "gpt-next"}
    assert "gpt-5" not in {price["model"] for price in in_force["data"]}
    assert "prices: the list in force is genai-prices of 20" in running.log


def test_installed_list_is_taken_again_without_a_file(tmp_path: Path, config: str, upstream: Provider) -> None:
    with broker(tmp_path / "state", "--config", config) as running:
        taken = refresh(running, packed(LIST))["result"]["data"]
        back = refresh(running)["result"]["data"]
        again = refresh(running)["result"]["data"]
        with calling(running, upstream):
            pass
        billed = costs(running)

    assert billed == [INSTALLED]
    assert taken["rates_added"] == back["rates_removed"] > 0
    assert taken["rates_removed"] == back["rates_added"] > 100
    assert taken["rates_changed"] == back["rates_changed"] > 0
    assert back["lists"][0]["taken_at"] is None
    counts = ["rates_added", "rates_removed", "rates_changed", "models_removed"]
    assert again == {**back, "models": [], **dict.fromkeys(counts, 0)}
    assert taken["models_removed"] > 20
    changes = {model["model"]: model for model in taken["models"]}
    assert (changes["gpt-next"]["change"], changes["gpt-5"]["change"]) == ("added", "removed")
    assert {rate["after"] for rate in changes["gpt-5"]["rates"]} == {None}
    assert [model["change"] for model in taken["models"]][-1] == "added"
    assert not (tmp_path / KEPT).exists()


def test_dry_run_changes_nothing(tmp_path: Path, config: str) -> None:
    with broker(tmp_path / "state", "--config", config) as running:
        before = httpx.get(f"{running.url}/admin/prices").json()
        tried = refresh(running, packed(LIST), dry_run=True)["result"]["data"]
        kept_by_trial = (tmp_path / KEPT).exists()
        after = httpx.get(f"{running.url}/admin/prices").json()
        taken = refresh(running, packed(LIST))["result"]["data"]
        back = refresh(running, dry_run=True)["result"]["data"]

    assert after == before
    assert not kept_by_trial
    assert (tmp_path / KEPT).exists()
    assert tried["dry_run"]
    assert [list_["name"] for list_ in tried["lists"]] == ["genai-prices", "supplement"]
    assert taken["models"] == tried["models"] != []
    assert (back["dry_run"], back["rates_removed"]) == (True, taken["rates_added"])


def test_names_that_go_to_another_provider_are_returned(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        "".join(f'[[providers]]\nname = "{name}"\nbase_url = "http://127.0.0.1:9"\n' for name in ("openai", "azure"))
    )
    rates = {"input_mtok": 1, "output_mtok": 2}
    with broker(tmp_path / "state", "--config", str(config)) as running:
        refresh(running, packed(publish([provider("openai", ours=rates, gone=rates), provider("azure", b=rates)])))
        moved = refresh(running, packed(publish([provider("openai", a=rates), provider("azure", ours=rates)])))

    data = moved["result"]["data"]
    assert data["moves"] == [{"model": "ours", "before": "openai", "after": "azure"}]
    assert data["models_removed"] == 2


def test_file_of_the_settings_is_read_at_the_start_and_again(tmp_path: Path, config: str) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(LIST)
    with Path(config).open("a") as settings:
        settings.write(f'[billing]\nprice_list = "{file}"\n')
    with broker(tmp_path / "state", "--config", config) as running:
        at_start = httpx.get(f"{running.url}/admin/prices").json()
        file.write_bytes(b"[]")
        wrong = refresh(running)["error"]
        file.write_bytes(LIST.replace(b"gpt-next", b"gpt-after"))
        taken = refresh(running)["result"]["data"]

    assert "gpt-next" in {price["model"] for price in at_start["data"]}
    assert wrong["code"] == -32602
    assert f"the file of billing.price_list, {file}, cannot be used" in str(wrong["data"])
    assert {(one["model"], one["change"]) for one in taken["models"]} == {
        ("gpt-next", "removed"),
        ("gpt-after", "added"),
    }
    assert not (tmp_path / KEPT).exists()


def test_pipe_in_place_of_the_file_of_the_settings_holds_up_nothing(tmp_path: Path, config: str) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(LIST)
    with Path(config).open("a") as settings:
        settings.write(f'[billing]\nprice_list = "{file}"\n')
    with broker(tmp_path / "state", "--config", config) as running:
        file.unlink()
        os.mkfifo(file)
        refused = refresh(running)["error"]
    started = CliRunner().invoke(
        cli,
        ["serve", "--listen", "127.0.0.1:0", "--config", config],
        env={"HERO_BROKER_STATE_DIR": str(tmp_path / "s")},
    )

    assert f"the file of billing.price_list, {file}, cannot be used: it is not a regular file" in str(refused["data"])
    assert started.exit_code == 3
    assert f"the price list {file} cannot be used: it is not a regular file" in started.stderr


@pytest.mark.parametrize(
    ("price_list", "reason"),
    [
        pytest.param("[]", "must be a price list, compressed with gzip, in base64", id="plain"),
        pytest.param(base64.b64encode(LIST).decode(), "must be a price list, compressed with gzip", id="uncompressed"),
        pytest.param(packed(LIST)[:-20], "must be", id="cut"),
        pytest.param(
            base64.b64encode(gzip.compress(LIST) * 2).decode(), "must be one whole gzip file in base64", id="two files"
        ),
        pytest.param(packed(b" " * 10_000_001), "must have at most 10,000,000 bytes", id="bomb"),
        pytest.param(packed(b"\xff"), "must be a price list of genai-prices: it is not UTF-8", id="no UTF-8"),
        pytest.param(packed(b"[{}]"), "must be a price list of genai-prices: Object missing required", id="no list"),
        pytest.param(
            packed(LIST.replace(b'{"equals":"gpt-next"}', b'{"regex":"^(([a-z0-9-])+)+$_"}')),
            "openai gpt-next: the regular expression '^(([a-z0-9-])+)+$_' cannot be used: a group is repeated",
            id="slow expression",
        ),
    ],
)
def test_wrong_list_changes_nothing(tmp_path: Path, config: str, price_list: str, reason: str) -> None:
    with broker(tmp_path / "state", "--config", config) as running:
        before = httpx.get(f"{running.url}/admin/prices").json()
        error = refresh(running, price_list)["error"]
        after = httpx.get(f"{running.url}/admin/prices").json()

    assert (error["code"], error["data"]["param"]) == (-32602, "price_list")
    assert reason in error["data"]["reason"]
    assert after == before
    assert not (tmp_path / KEPT).exists()


def test_list_that_cannot_be_kept_is_not_taken(tmp_path: Path, config: str) -> None:
    with broker(tmp_path / "state", "--config", config) as running:
        before = httpx.get(f"{running.url}/admin/prices").json()
        (tmp_path / KEPT).mkdir()
        errors = [refresh(running, price_list)["error"] for price_list in (packed(LIST), None)]
        after = httpx.get(f"{running.url}/admin/prices").json()

    assert {error["code"] for error in errors} == {-32002}
    assert after == before


def test_broker_with_a_damaged_list_does_not_start(tmp_path: Path, config: str) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / FILE).write_text("[]")
    arguments = ["serve", "--listen", "127.0.0.1:0", "--config", config]
    environ = {"HERO_BROKER_STATE_DIR": str(state), "HERO_BROKER_DATABASE_URL": "sqlite:///l.db"}

    refused = CliRunner().invoke(cli, arguments, env=environ)
    checked = CliRunner().invoke(cli, ["check-config", "--config", config], env=environ)

    assert refused.exit_code == 3
    assert f"hero-broker cannot start: the price list {state / FILE} cannot be used" in refused.stderr
    assert checked.exit_code == 3
    assert f"the price list {state / FILE} cannot be used" in checked.stderr


def install(site: Path, version: str, data: str) -> None:
    """Install a package with a data file, or update it."""
    for old in site.glob("*.dist-info"):
        shutil.rmtree(old)
    info = site / f"genai_prices-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: genai-prices\nVersion: {version}\n")
    package = site / "genai_prices"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "data.py").write_text(data)


def data_file(rate: str) -> str:
    """Return a data file with one model."""
    return (
        "from decimal import Decimal\nfrom .types import *\n"
        "providers = [Provider(id='openai', name='OpenAI', api_pattern='', models=[ModelInfo(id='gpt-4o', "
        f"match=ClauseEquals(equals='gpt-4o'), prices=ModelPrice(input_mtok=Decimal('{rate}')))])]\n"
    )


@pytest.mark.slow
def test_updated_package_is_read_without_a_restart(tmp_path: Path, config: str) -> None:
    site = tmp_path / "site"
    install(site, "0.9.1", data_file("1"))
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    with started_broker(tmp_path / "state", "--config", config, PYTHONPATH=paths) as running:
        first = httpx.get(f"{running.url}/admin/prices", params={"model": "gpt-4o"}).json()
        install(site, "0.9.10", data_file("2.50"))
        changes = refresh(running)["result"]["data"]
        second = httpx.get(f"{running.url}/admin/prices", params={"model": "gpt-4o"}).json()
        install(site, "0.9.11", "providers = [")
        broken = refresh(running)["error"]
        third = httpx.get(f"{running.url}/admin/prices", params={"model": "gpt-4o"}).json()

    rates = [[rate["value"] for rate in one["data"][0]["rates"]] for one in (first, second, third)]
    assert rates == [["1"], ["2.5"], ["2.5"]]
    assert [one["lists"][0]["version"] for one in (first, second, third)] == ["0.9.1", "0.9.10", "0.9.10"]
    assert [model["model"] for model in changes["models"]] == ["ours", "gpt-4o"]
    assert (changes["rates_added"], changes["rates_removed"], changes["rates_changed"]) == (0, 0, 2)
    assert broken["data"]["param"] == "price_list"
    assert broken["data"]["reason"].endswith("can only be read after a restart (SyntaxError)")


def test_refresh_needs_the_token(tmp_path: Path, config: str) -> None:
    with broker(tmp_path / "state", "--config", config, ADMIN_TOKEN="secret-token") as running:
        refused = httpx.post(f"{running.url}/admin/prices/refresh", json={})
        answered = httpx.post(f"{running.url}/admin/prices/refresh", json={}, headers=running.headers, timeout=30)

    assert refused.status_code == 401
    assert answered.json()["data"]["models"] == []
