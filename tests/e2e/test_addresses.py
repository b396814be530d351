"""Who is billed, and who may call, over real sockets."""

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.e2e_support import broker, chat
from tests.faults.client_faults.leaving import RESET
from tests.raw_clients import chat_request, connected
from tests.waits import wait_until


@pytest.mark.usefixtures("store")
def test_one_caller_is_one_line_however_it_arrives(tmp_path: Path) -> None:
    with broker(tmp_path / "state", "--insecure-dev", listen="[::]:0") as running:
        port = running.url.rpartition(":")[2]
        forged = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9"}
        for url in (f"http://127.0.0.1:{port}", f"http://[::ffff:127.0.0.1]:{port}"):
            for headers in ({}, forged):
                httpx.post(
                    f"{url}/v1/chat/completions", json=chat(), headers={**headers, "host": "localhost"}
                ).raise_for_status()
        for host in ("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]"):
            httpx.post(
                f"http://{host}:{port}/v1/chat/completions", json=chat(), headers={"host": "localhost"}
            ).raise_for_status()
        running.url = f"http://127.0.0.1:{port}"
        lines = {line["ip"]: line["requests"] for line in running.usage()["data"]}
        mapped = httpx.get(f"{running.url}/billing/usage/::ffff:127.0.0.1").json()["data"]

    assert lines == {"127.0.0.1": 4, "::1": 3}
    assert (mapped["ip"], mapped["totals"]["requests"]) == ("127.0.0.1", 4)


@pytest.mark.parametrize("spelled", ["400:0:0:0:0:0:0:7", "400::7", "0400::0007"])
@pytest.mark.usefixtures("store")
def test_caller_behind_a_trusted_proxy_is_billed_by_its_canonical_address(tmp_path: Path, spelled: str) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\ntrusted_proxies = ["127.0.0.0/8"]\n')
    with broker(tmp_path / "state", "--config", str(config)) as running:
        httpx.post(
            f"{running.url}/v1/chat/completions",
            json=chat(),
            headers={"x-forwarded-for": f"203.0.113.1, {spelled}, 127.0.0.9"},
        ).raise_for_status()
        usage = running.usage()

    assert [line["ip"] for line in usage["data"]] == ["400::7"]


def test_open_quote_before_the_hop_of_a_proxy_passes_no_check_and_bills_nobody_else(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        '[server]\ntrusted_proxies = ["127.0.0.1"]\ntrusted_header = "forwarded"\n'
        'allowed_clients = ["127.0.0.0/8", "192.0.2.0/24"]\n'
    )
    with broker(tmp_path / "state", "--config", str(config)) as running:
        url = f"{running.url}/v1/chat/completions"
        statuses = [
            httpx.post(url, json=chat(), headers={"forwarded": line}).status_code
            for line in (
                'for=192.0.2.77;x=", for="203.0.113.9:80"',
                'for=", for="203.0.113.9:80"',
                'for=192.0.2.77;x=", for="192.0.2.9:80"',
            )
        ]
        httpx.post(url, json=chat(), headers={"x-forwarded-for": "192.0.2.77"}).raise_for_status()
        lines = {line["ip"]: line["requests"] for line in running.usage()["data"]}

    assert statuses == [403, 403, 200]
    assert lines == {"192.0.2.9": 1, "127.0.0.1": 1}
    assert "127.0.0.1 is in server.trusted_proxies, but sent no forwarded that names its client" in running.log


@pytest.mark.usefixtures("store")
def test_stranger_is_refused_and_not_billed(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nallowed_clients = ["127.0.0.1/32"]\n')
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with broker(tmp_path / "state", "--config", str(config)) as running:
        with httpx.Client(transport=transport) as stranger:
            refused = stranger.post(f"{running.url}/v1/chat/completions", content=b"not even read")
        requests = running.usage()["totals"]["requests"]

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "address_not_allowed"
    assert requests == 0


@pytest.mark.usefixtures("store")
def test_foreign_host_is_refused_in_dev_mode(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        statuses = [
            httpx.get(f"{running.url}{path}", headers={"host": "rebound.example"}).status_code
            for path in ("/billing/usage", "/health/live", "/v1/models")
        ]

    assert statuses == [403, 403, 403]


@pytest.mark.usefixtures("store")
def test_client_that_resets_before_it_is_accepted_does_not_pass_for_one_on_a_unix_socket(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nallowed_clients = ["192.0.2.0/24"]\ntrusted_proxies = ["unix"]\n')
    with broker(tmp_path / "state", "--config", str(config)) as running:
        os.kill(running.process.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{running.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        for _ in range(20):
            with connected(running.url) as connection:
                connection.sendall(chat_request(headers={"x-forwarded-for": "192.0.2.7"}))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        os.kill(running.process.pid, signal.SIGCONT)
        usage = running.usage()

    assert usage["data"] == []
