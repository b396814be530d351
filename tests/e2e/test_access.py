"""Who gets at what: admin paths however they are spelled, tokens wherever they are put, headers in both directions."""

import http.client
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hero_broker.data_plane.client_call import MAX_REQUEST_HEADER_BYTES
from hero_broker.data_plane.responses import MAX_RESPONSE_HEADER_BYTES
from tests import forked
from tests.e2e.provider import Provider, answering
from tests.e2e_support import Broker, broker, chat, started_broker

TOKEN = "a-token-of-the-tests"
STATE_MODES = {True: 0o700, False: 0o600}  # of a directory, of a file
LIMITED = str(Path(__file__).parents[1] / "faults" / "limited.py")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with an admin token, for tests that leave no trace in its ledger."""
    state = tmp_path_factory.mktemp("closed") / "state"
    url = f"sqlite:///{state}/hero-broker.db"
    with broker(state, ADMIN_TOKEN=f" {TOKEN}\n", HERO_SECRET=" ", HERO_BROKER_DATABASE_URL=url) as running:
        yield running


def ask_raw(running: Broker, target: str, *headers: str) -> tuple[int, bytes]:
    """Send a GET whose target and headers are exactly these; return status and body."""
    where = httpx.URL(running.url)
    with socket.create_connection((where.host, where.port or 0), timeout=20) as connection:
        lines = [f"GET {target} HTTP/1.1", *(headers or ("host: localhost",)), "connection: close", "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    "target",
    [
        "/billing/usage",
        "//billing/usage",
        "/billing//usage",
        "/billing/usage/",
        "/billing/%75sage",
        "/%62illing/usage",
        "/%2fbilling/usage",
        "/billing%2fusage",
        "/./billing/usage",
        "/v1/../billing/usage",
        "/billing;a=b/usage",
        "/Billing/usage",
        "/billing/usage?path=/health/live",
        "/billing/usage%00",
        "http://localhost/billing/usage",
        "/admin/health",
        "/openrpc.json",
        "/openapi.json",
        "/openapi.json%0a",
        "/openrpc.json%0A",
        "/openapi.json%0d%0a",
    ],
)
def test_admin_path_is_closed_however_it_is_spelled(closed: Broker, target: str) -> None:
    status, body = ask_raw(closed, target)

    assert status in (400, 401, 404)
    assert b"total_cost" not in body
    assert b"journal" not in body
    assert not body.startswith((b'{"openapi"', b'{"openrpc"'))


@pytest.mark.parametrize(
    "host", ["localhost/health/live?", "localhost/v1/models#", "x@localhost", "localhost:80/health/live", "[::1", ""]
)
def test_host_header_opens_no_admin_path(closed: Broker, host: str) -> None:
    status, body = ask_raw(closed, "/billing/usage", f"host: {host}")

    assert status in (400, 401)
    assert b"total_cost" not in body


@pytest.mark.parametrize(
    ("target", "header"),
    [
        (f"/billing/usage?token={TOKEN}", "x-a: b"),
        (f"/billing/usage?access_token={TOKEN}", "x-a: b"),
        ("/billing/usage", f"cookie: authorization=Bearer {TOKEN}"),
        ("/billing/usage", f"x-api-key: {TOKEN}"),
        ("/billing/usage", f"authorization: Basic {TOKEN}"),
        ("/billing/usage", f"authorization: {TOKEN}"),
        ("/billing/usage", "authorization: Bearer"),
        ("/billing/usage", "authorization: Bearer  "),
        ("/billing/usage", f"authorization: Bearer {TOKEN[:-1]}"),
        ("/billing/usage", f"proxy-authorization: Bearer {TOKEN}"),
    ],
)
def test_token_counts_in_the_authorization_header_alone(closed: Broker, target: str, header: str) -> None:
    assert ask_raw(closed, target, "host: localhost", header)[0] == 401


def test_blank_around_the_token_does_not_count_and_a_blank_token_is_none(closed: Broker) -> None:
    assert ask_raw(closed, "/billing/usage", "host: localhost", f"authorization: Bearer {TOKEN}")[0] == 200


def test_address_that_is_none_is_told(closed: Broker) -> None:
    for ip in ("localhost", "1.2.3", "::1::", "127.0.0.01", "evil<script>"):
        response = httpx.get(f"{closed.url}/billing/usage/{ip}", headers={"authorization": f"Bearer {TOKEN}"})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "ip")


def test_filter_that_looks_like_sql_is_a_text(closed: Broker) -> None:
    text = "x' OR '1'='1' --"
    response = httpx.get(
        f"{closed.url}/billing/requests",
        params={"model": text, "provider": text, "context": text},
        headers={"authorization": f"Bearer {TOKEN}"},
    )

    assert (response.status_code, response.json()["data"]) == (200, [])


def test_length_and_chunks_at_once_are_refused_and_the_connection_closed(closed: Broker) -> None:
    where = httpx.URL(closed.url)
    with socket.create_connection((where.host, where.port or 0), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 40\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /billing/usage HTTP/1.1\r\n\r\n"
        )
        received = b""
        while more := connection.recv(65536):
            received += more

    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_headers_pass_by_a_list_in_both_directions(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    answer = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\nserver: s\r\n"
        b"x-secret: sk-provider-key\r\n"
        b"x-request-id: theirs\r\nopenai-version: 1\r\nopenai-processing-ms: %s\r\ncontent-length: 2\r\n\r\n{}"
        % (b"9" * (MAX_RESPONSE_HEADER_BYTES + 1))
    )
    with Provider() as provider:
        config.write_text(provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running:
            sent: list[bytes] = []
            with answering(provider, answer, sent):
                response = httpx.post(
                    f"{running.url}/openai/deployments/m/chat/completions?api-version=of-the-client",
                    json={**chat(), "model": "m", "api_base": "http://127.0.0.1:9", "base_url": "http://127.0.0.1:9"},
                    headers={
                        "authorization": "Bearer of-the-client",
                        "api-key": "of-the-client",
                        "x-api-key": "of-the-client",
                        "cookie": "of-the-client",
                        "x-forwarded-for": "192.0.2.1",
                        "host": "localhost",
                        "x-hero-context": "a",
                        "x-title": "t" * (MAX_REQUEST_HEADER_BYTES + 1),
                        "openai-beta": "b" * MAX_REQUEST_HEADER_BYTES,
                        "te": "trailers",
                    },
                )

    head = sent[0].partition(b"\r\n\r\n")[0].lower()
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert names <= {
        *(b"host", b"content-type", b"content-length", b"accept", b"accept-encoding", b"authorization"),
        *(b"openai-beta", b"user-agent"),
    }
    assert b"of-the-client" not in sent[0]
    assert b"bearer sk-provider-key" in head
    assert b"127.0.0.1:9" not in sent[0]
    assert set(response.headers) == {"date", "content-type", "content-length", "openai-version", "x-request-id"}
    assert response.headers["x-request-id"] != "theirs"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_and_not_told(tmp_path: Path, status: int) -> None:
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider, Provider() as elsewhere:
        config.write_text(provider.config())
        answer = f"HTTP/1.1 {status} Found\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n\r\n".encode()
        with broker(tmp_path / "state", "--config", str(config)) as running, answering(provider, answer):
            response = httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "m"})

        with pytest.raises(TimeoutError):
            elsewhere.accept(within_s=0.1)
    assert response.status_code == 502
    assert "location" not in response.headers


def test_everything_that_a_broker_makes_is_its_owners_alone_though_the_umask_is_0(tmp_path: Path) -> None:
    state, ledger, unix = tmp_path / "state", tmp_path / "above" / "ledger", tmp_path / "run" / "rest.sock"
    arguments = ("--listen", f"unix:{unix}", "--database", f"sqlite:///{ledger}/hero-broker.db")
    with started_broker(state, *arguments, program=("-P", LIMITED, "--open-umask")) as running:
        audio = {"file": ("a.mp3", b"a" * 3_000_000, "audio/mpeg")}
        httpx.post(f"{running.url}/v1/audio/transcriptions", data={"model": "fake-stt"}, files=audio)
        running.usage()
        made = [state, ledger.parent, ledger, *state.rglob("*"), *ledger.rglob("*")]
        names = {path.name for path in made}
        wrong = [path for path in made if stat.S_IMODE(path.stat().st_mode) != STATE_MODES[path.is_dir()]]
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (unix.parent, unix)]

    assert wrong == []
    assert names >= {"hero-broker.db", "hero-broker.db-wal", "hero-broker.db-shm", "journal", "lock", "uploads"}
    assert modes == [0o750, 0o660]


def test_settings_that_are_wrong_are_told_without_their_secrets(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[[providers]]\nname = "p"\nbase_url = "http://user:MARK@h"\napi_keys = ["MARK with spaces"]\n')
    environ = {**os.environ, "ADMIN_TOKEN": "MARK", "HERO_BROKER_DATABASE_URL": "postgresql://u:MARK@"}
    ended = forked.run(["check-config", "--config", str(config)], environ, tmp_path)

    assert ended.returncode == 2
    assert "MARK" not in ended.stdout + ended.stderr
