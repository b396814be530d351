"""Web pages and calls, over real sockets: who may spend, and who may read the answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hero_broker.kinds.registry import KIND_BY_PATH
from tests.e2e_support import Broker, broker, chat
from tests.raw_clients import connected, read_answer, request

TOKEN = "a-token-of-the-tests"
LISTED = "https://chat.example.org"
CONFIG = f"""
[server]
allowed_origins = ["{LISTED.upper()}:443", "http://[0:0::1]:8080"]
allowed_clients = ["127.0.0.1"]
max_audio_bytes = 1000
"""
PAGES = {
    "another site": {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    "another port": {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
    "no origin": {"origin": "null", "sec-fetch-site": "cross-site"},
    "hidden origin": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    "rebound name": {"origin": "http://localhost", "host": "localhost", "sec-fetch-site": "same-origin"},
    "rebound name, no secure context": {"origin": "http://localhost", "host": "localhost"},
    "form that was sent": {"origin": "https://evil.example", "sec-fetch-mode": "navigate"},
}


@pytest.fixture(scope="module", params=["with a token", "in dev mode"])
def listing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that lists two origins."""
    state = tmp_path_factory.mktemp("origins") / "state"
    config = state.parent / "hero-broker.toml"
    config.write_text(CONFIG)
    token = {"ADMIN_TOKEN": TOKEN} if request.param == "with a token" else {}
    url = f"sqlite:///{state}/hero-broker.db"
    with broker(state, "--config", str(config), HERO_BROKER_DATABASE_URL=url, **token) as running:
        yield running


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("path", list(KIND_BY_PATH))
def test_page_that_is_not_listed_cannot_spend(listing: Broker, path: str, page: dict[str, str]) -> None:
    kind = "multipart/form-data; boundary=b" if KIND_BY_PATH[path].takes_form else "application/json"
    before = listing.usage()["totals"]["requests"]
    headers = {"content-type": kind, "content-length": "500", "authorization": f"Bearer {TOKEN}", **page}

    with connected(listing.url) as connection:
        connection.sendall(request(path, headers=headers))  # of the body, nothing
        status, body = read_answer(connection.makefile("rb"))

    said = b'"permission_error"' if KIND_BY_PATH[path].wire == "anthropic" else b'"code":"origin_not_allowed"'
    assert (status, said in body) == (403, True)
    assert listing.usage()["totals"]["requests"] == before


@pytest.mark.parametrize("headers", [{"sec-fetch-mode": "cors"}, {"sec-fetch-site": "none"}, {}], ids=str)
def test_program_that_is_no_page_calls(listing: Broker, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{listing.url}/v1/chat/completions", json=chat(), headers=headers)

    assert answer.status_code == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("origin", [LISTED, "http://[::1]:8080"])
@pytest.mark.parametrize("path", [*KIND_BY_PATH, "/v1/models"])
def test_listed_page_may_ask_what_it_may_send(listing: Broker, path: str, origin: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-a"}
    answer = httpx.options(f"{listing.url}{path}", headers={"origin": origin, "sec-fetch-site": "cross-site", **asked})

    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"] == "Origin"
    assert {"authorization", "x-a"} <= set(answer.headers["access-control-allow-headers"].split(", "))


def asked_by_a_listed_page(listing: Broker) -> Iterator[tuple[int, httpx.Response]]:
    """Yield the status that is expected, and what answers of all ways in which they are made are."""
    named = {"origin": LISTED, "sec-fetch-site": "cross-site"}
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    large = {"file": ("a.mp3", b"a" * 2000, "audio/mpeg")}
    with httpx.Client(base_url=listing.url, headers=named) as page:
        yield 200, page.post("/v1/chat/completions", json=chat())
        yield 200, page.post("/v1/chat/completions", json=chat(stream=True))
        yield 200, page.get("/v1/models")
        yield 400, page.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
        yield 400, page.get("/v1/models", headers={"x-hero-context": "a" * 129})
        yield 404, page.post("/v1/embeddings", json={"model": "none", "input": "a"})
        yield 404, page.get("/v1/none")
        yield 405, page.get("/v1/chat/completions")
        yield 413, page.post("/v1/audio/transcriptions", data={"model": "fake-stt"}, files=large)
        yield 415, page.post("/v1/chat/completions", content=b"{}")
    with httpx.Client(base_url=listing.url, headers=named, transport=elsewhere) as page:
        yield 403, page.post("/v1/chat/completions", json=chat())


def test_listed_page_reads_every_answer(listing: Broker) -> None:
    for expected, answer in asked_by_a_listed_page(listing):
        assert answer.status_code == expected, answer.text
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"].split(", ")[-1] == "Origin"
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/rpc", "/billing/usage", "/admin/labels", "/openrpc.json", "/v1/usage"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_listed_page_gets_no_cors_answer_from_the_admin_plane(listing: Broker, path: str, method: str) -> None:
    headers = {"origin": LISTED, "access-control-request-method": "GET", "authorization": f"Bearer {TOKEN}"}
    answer = httpx.request(method, f"{listing.url}{path}", headers=headers)

    assert not any(name.startswith("access-control") for name in answer.headers)
    assert answer.status_code != 204


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_other_page_is_refused_its_preflight(listing: Broker, origin: str) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    answer = httpx.options(f"{listing.url}/v1/chat/completions", headers=headers)

    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_this_machine_gets_health_and_the_admin_plane_whoever_may_call(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nallowed_clients = ["192.0.2.0/24"]\ntrusted_proxies = ["127.0.0.7"]\n')
    proxy = httpx.HTTPTransport(local_address="127.0.0.7")
    with broker(tmp_path / "state", "--config", str(config)) as running:
        asked = [httpx.get(f"{running.url}{path}") for path in ("/health/live", "/health/ready", "/billing/usage")]
        refused = [httpx.post(f"{running.url}/v1/chat/completions", json=chat()), httpx.get(f"{running.url}/v1/models")]
        with httpx.Client(transport=proxy, headers={"x-forwarded-for": "198.51.100.7"}) as stranger:
            refused += [stranger.get(f"{running.url}{path}") for path in ("/health/live", "/billing/usage")]

    assert [answer.status_code for answer in asked] == [200, 200, 200]
    assert [answer.json()["error"]["code"] for answer in refused] == ["address_not_allowed"] * 4


@pytest.mark.parametrize(
    "lines", [["https://evil.example", LISTED], [LISTED, "https://evil.example"], [LISTED, LISTED]]
)
@pytest.mark.parametrize("path", [*KIND_BY_PATH, "/v1/models", "/rpc", "/billing/usage", "/health/live"])
def test_request_of_two_origins_is_refused(listing: Broker, path: str, lines: list[str]) -> None:
    named = [("origin", line) for line in lines]
    answer = httpx.post(f"{listing.url}{path}", headers=[("authorization", f"Bearer {TOKEN}"), *named], json=chat())

    error = answer.json()["error"]
    assert answer.status_code == 400
    if path.startswith("/v1/messages"):
        assert error["type"] == "invalid_request_error"
    else:
        assert error["code"] == "unreadable_request"
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("lines", [["cross-site", "none"], ["none", "cross-site"]])
def test_request_of_two_sites_is_refused(listing: Broker, lines: list[str]) -> None:
    answer = httpx.get(f"{listing.url}/v1/models", headers=[("sec-fetch-site", line) for line in lines])

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unreadable_request")


def test_request_of_two_hosts_is_refused(listing: Broker) -> None:
    with connected(listing.url) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n")
        status, body = read_answer(connection.makefile("rb"))

    assert (status, b"unreadable_request" in body) == (400, True)


@pytest.mark.parametrize("token", [{}, {"ADMIN_TOKEN": TOKEN}], ids=["in dev mode", "with a token"])
def test_log_names_a_page_that_is_refused(tmp_path: Path, token: dict[str, str]) -> None:
    paths = ["/v1/chat/completions", "/v1/models"] + ([] if token else ["/billing/usage", "/rpc"])
    with broker(tmp_path / "state", **token) as running:
        for path in paths:
            answer = httpx.post(f"{running.url}{path}", headers={"origin": "https://evil.example"})
            assert answer.status_code == 403
        hidden = httpx.get(f"{running.url}/v1/models", headers={"sec-fetch-site": "cross-site"})
        assert hidden.status_code == 403

    lines = [json.loads(line) for line in running.lines if "a web page" in line]
    assert [line["event"].partition(" was refused")[0] for line in lines] == [
        "edge: a web page of 'https://evil.example'",
        "edge: a web page that hides its origin",
    ]
