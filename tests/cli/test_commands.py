"""Labels, any method, the doctor, the proof of the books, completion, and how commands end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hero_broker.admin_plane.contract import load_document
from hero_broker.cli.main import COMMANDS, Command, load_command
from hero_broker.cli.rpc import parse_params
from tests.cli.conftest import Place
from tests.e2e.provider import Provider
from tests.e2e_support import broker


def test_labels_are_set_shown_and_removed(fresh: Place) -> None:
    assert fresh.out("labels", "set", "127.0.0.0/8", "this machine") == "127.0.0.0/8 is this machine\n"
    assert fresh.out("doctor").splitlines()[2].endswith("billed to 127.0.0.1 (this machine)")
    assert [line.rstrip() for line in fresh.out("labels", "list").splitlines()] == [
        "target       label",
        "127.0.0.0/8  this machine",
    ]
    assert "127.0.0.1  this machine" in fresh.out("usage")
    assert "127.0.0.1 (this machine)" in fresh.out("usage", "--plot")
    assert "127.0.0.1 (this machine)" in fresh.out("requests")
    assert "this machine" in fresh.out("labels", "list", "--database", fresh.database)
    for place in ((), ("--database", fresh.database)):
        assert fresh.out("labels", "get", "127.0.0.1", *place).splitlines()[-1].split() == [
            "127.0.0.0/8",
            "this",
            "machine",
        ]
    assert fresh.run("labels", "get", "192.0.2.1").exit_code == 1
    assert fresh.out("labels", "remove", "127.0.0.0/8") == "127.0.0.0/8 is no longer this machine\n"
    assert fresh.run("labels", "remove", "127.0.0.0/8").exit_code == 1
    assert fresh.run("labels", "set", "127.0.0.1/8", "a").exit_code == 2


def test_any_method_is_called_with_typed_parameters(place: Place) -> None:
    by_model = place.out("rpc", "billing.usage", "group_by=model", "filter.ip=127.0.0.2", "limit=1", "dense=false")
    in_json = place.out("rpc", "billing.usage", 'group_by=["model"]', 'filter={"ip": "127.0.0.2"}')

    assert json.loads(by_model)["totals"]["requests"] == 2
    assert '"total_cost_usd":0.00005194,' in by_model
    assert json.loads(in_json)["data"] == json.loads(by_model)["data"]
    assert json.loads(place.out("rpc", "rpc.discover")) == load_document()


@pytest.mark.parametrize(
    ("texts", "params"),
    [
        ([], {}),
        (["ip=127.0.0.1", "since=1700000000"], {"ip": "127.0.0.1", "since": 1_700_000_000}),
        (["ip=7", "since=soon"], {"ip": "7", "since": "soon"}),
        (["unknown=1"], {"unknown": 1}),
    ],
)
def test_parameters_have_the_types_of_the_contract(texts: list[str], params: dict[str, object]) -> None:
    assert parse_params("billing.usage_for_ip", texts) == params


@pytest.mark.parametrize(
    "texts",
    [["ip"], ["=1"], ["ip=1", "ip=2"], ["filter=1", "filter.ip=2"], ["filter.ip=1", "filter.ip=2"], ["filter.=1"]],
)
def test_parameter_that_is_no_pair_is_2(place: Place, texts: list[str]) -> None:
    assert place.run("rpc", "billing.usage", *texts).exit_code == 2


def test_refused_methods_end_with_their_code(place: Place) -> None:
    unknown = place.run("rpc", "system.helth")
    offline = place.run("rpc", "models.list", "--database", place.database)
    bad = place.run("rpc", "billing.usage_by_ip", "limit=0")
    missing = place.run("rpc", "billing.request", "request_id=none", "--database", place.database)

    assert (unknown.exit_code, unknown.stderr) == (
        1,
        "No method has this name; did you mean system.health or system.info?\n",
    )
    assert (offline.exit_code, "needs a running broker" in offline.stderr) == (2, True)
    assert (bad.exit_code, "limit must be an integer" in bad.stderr) == (2, True)
    assert (missing.exit_code, missing.stderr.splitlines()[-1]) == (1, "No such request")


def test_doctor_follows_a_call_to_the_bill(fresh: Place) -> None:
    ended = fresh.run("doctor")

    assert ended.exit_code == 0, ended.output
    assert [line[:6] for line in ended.stdout.splitlines()] == ["ok    "] * 8
    assert "ok    with a limit of one call, a second one is refused, with status 402" in ended.stdout
    assert "doctor-" not in fresh.out("limits", "list")
    assert "ok    reports show it: 1 request, 0.00000414 USD" in ended.stdout


def test_doctor_says_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    with Provider() as provider:
        config.write_text(provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running:
            provider.__exit__(None, None, None)
            place = Place(running, "")
            unreachable, unknown = place.run("doctor", "--model", "m"), place.run("doctor", "--model", "none")

    assert (unreachable.exit_code, unknown.exit_code) == (1, 1)
    assert "FAIL  the call to m failed with status 502" in unreachable.stdout
    assert "FAIL  the provider p is failing: provider_refused, 1 call\n" in unreachable.stdout
    assert "FAIL  the call to none failed with status 404" in unknown.stdout


def test_doctor_says_that_a_limit_refuses_its_call_and_which(fresh: Place) -> None:
    fresh.out("limits", "set", "machine-day", "unit=requests", "amount=1", "window=day", "per=ip")
    first, second = fresh.run("doctor"), fresh.run("doctor")

    assert first.exit_code == 0, first.output
    assert "ok    a second call is refused by the limit machine-day, with status 402" in first.stdout
    assert second.exit_code == 1
    assert (
        "FAIL  the limit machine-day works: it refuses the call to fake-chat with status 402, so nothing else is"
        " checked. The budget 'machine-day' of 1 request a day for 127.0.0.1 is spent; the window ends at "
    ) in second.stdout
    assert second.stdout.endswith("grant this address more with `hero-broker limits grant machine-day`\n")
    assert "doctor-" not in fresh.out("limits", "list")


def test_doctor_fails_where_no_price_is_known(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    with Provider() as provider:
        free = provider.config().replace("[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n", "")
        config.write_text(free)
        with broker(tmp_path / "state", "--config", str(config)) as running:
            command = [sys.executable, "-m", "hero_broker", "doctor", "--model", "m", "--url", running.url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                accepted = provider.accept()
                body = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
                accepted.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                accepted.send(b"content-length: %d\r\n\r\n%s" % (len(body), body))
                output, _ = process.communicate(timeout=60)
                accepted.end()

    assert process.returncode == 1
    assert "FAIL  no price is known for the model" in output


def test_books_are_proved_and_mended(place: Place) -> None:
    assert place.out("verify") == "6 rows, 0 differences\n"
    assert place.out("rebuild") == "roll-ups rebuilt, up to seq 6\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rpc billing.usage_", ["billing.usage_by_ip", "billing.usage_for_ip"]),
        ("usage --by mo", ["model", "month"]),
        ("usage --where pre", ["prefix="]),
    ],
)
def test_shell_completes_what_commands_take(words: str, offered: list[str]) -> None:
    line = f"hero-broker {words}"
    variables = {"_HERO_BROKER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    program = "import sys; sys.argv[0] = 'hero-broker'; from hero_broker.cli import main; main()"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=30)

    assert ended.stdout.split() == offered


def test_version_and_help_are_printed(place: Place) -> None:
    assert place.out("--version").startswith("hero-broker ")
    for command in ("usage", "requests", "rpc", "doctor", "serve", "copy-ledger", "labels"):
        assert "Example" in place.out(command, "--help")


def test_reader_that_leaves_ends_a_command_quietly(place: Place) -> None:
    environ = {**os.environ, "HERO_BROKER_URL": place.broker.url, "ADMIN_TOKEN": "admin-token"}
    command = f"{sys.executable} -m hero_broker requests --json | head -n 1"
    ended = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30)

    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_list_says_the_first_sentence_of_each_command(command: Command) -> None:
    assert " ".join(load_command(command).help.split()).split(". ")[0].rstrip(".") == command.help.rstrip(".")


def test_help_imports_no_command() -> None:
    program = "import sys; from hero_broker.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert "doctor" in ended.stdout
    assert not {"httpx", "sqlalchemy", "starlette", "hero_broker.server.wiring"} & set(ended.stdout.split())


def test_check_config_imports_no_broker() -> None:
    program = "import sys; import hero_broker.cli.check_config; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert "hero_broker.providers.routes" in ended.stdout
    assert not {"aiohttp", "sqlalchemy", "uvicorn", "hero_broker.server.wiring"} & set(ended.stdout.split())
