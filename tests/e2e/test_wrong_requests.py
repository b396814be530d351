"""What a client gets that asks in a way that nobody should: a reason in OpenAI's shape, and never a 500."""

import http.client
import socket
from collections.abc import Iterator

import httpx
import pytest

from hero_broker.kinds.registry import KIND_BY_PATH
from tests.e2e.conftest import Ledger
from tests.e2e_support import Broker

SHAPE = {"message", "type", "param", "code"}
DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.fixture
def client(shared_ledger: Ledger) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_ledger.running.url) as asking:
        yield asking


def verbs(broker: Broker, path: str) -> set[str]:
    """Return what `Allow` says to a verb that no path knows."""
    refused = httpx.request("TRACE", broker.url + path)
    assert refused.status_code == 405
    error = refused.json()["error"]
    kind = KIND_BY_PATH.get(path)
    if kind is not None and kind.wire == "anthropic":
        assert (set(error), error["type"]) == ({"type", "message"}, "invalid_request_error")
    else:
        assert (set(error), error["code"]) == (SHAPE, "method_not_allowed")
    return set(refused.headers["allow"].split(", "))


@pytest.mark.parametrize("path", list(KIND_BY_PATH))
def test_call_is_made_by_post_alone(shared_broker: Broker, path: str) -> None:
    assert verbs(shared_broker, path) == {"POST"}
    for verb in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        refused = httpx.request(verb, shared_broker.url + path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_other_verb_is_told_those_that_the_path_has(shared_broker: Broker) -> None:
    assert verbs(shared_broker, "/v1/models") == {"GET", "HEAD"}
    assert verbs(shared_broker, "/admin/labels") == {"GET", "HEAD", "POST", "PUT", "DELETE"}


@pytest.mark.parametrize("path", ["/", "/v1/models", "/health/live", "/billing/usage", "/openrpc.json"])
def test_head_is_get_without_its_body(shared_broker: Broker, path: str) -> None:
    found, head = httpx.get(shared_broker.url + path), httpx.head(shared_broker.url + path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == found.headers["content-type"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        pytest.param("stream_options", b'{"a": 1e999}', id="number out of range"),
        pytest.param("stream_options", b'{"a": 1' + b"0" * 5000 + b"}", id="long number"),
        pytest.param("stream_options", b'{"a": "\\ud800"}', id="lone surrogate"),
        pytest.param("stream_options", DEEP, id="deep"),
        pytest.param("model", DEEP, id="deep model"),
        pytest.param("x", DEEP, id="deep member that is not read"),
        pytest.param("x", b'"\xff"', id="no UTF-8"),
        pytest.param("Model", b'"fake-chat"', id="model in other letters"),
        pytest.param("API_KEY", b'"k"', id="dropped member in other letters"),
        pytest.param("model", b'"\\ud800"', id="model of a lone surrogate"),
    ],
)
def test_json_that_cannot_be_read_is_the_clients_fault(shared_broker: Broker, member: str, value: bytes) -> None:
    members = {"model": b'"fake-chat"', "messages": b"[]"} | {member: value}
    body = b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), text) for name, text in members.items())

    response = httpx.post(
        f"{shared_broker.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_deep_json_of_an_admin_question_is_the_clients_fault(client: httpx.Client) -> None:
    response = client.put(
        "/admin/labels",
        params={"target": "unknown"},
        content=b'{"label": %s}' % DEEP,
        headers={"content-type": "application/json"},
    )

    assert (response.status_code, response.json()["error"]["param"]) == (400, "body")


@pytest.mark.parametrize("member", ["model", "provider", "context", "api_key_id", "period"])
def test_nul_in_a_filter_is_refused_on_each_store(client: httpx.Client, member: str) -> None:
    response = client.get("/billing/requests", params={member: "a\0b"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "filter")


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"])
@pytest.mark.parametrize(
    ("method", "params", "param"),
    [
        ("billing.request", '["%s"]', "request_id"),
        ("billing.requests", '{"filter": {"period": "%s"}}', "filter"),
        ("billing.mark_billed", '["%s", 1]', "reference"),
    ],
)
def test_text_that_no_database_stores_is_refused(
    client: httpx.Client, method: str, params: str, param: str, text: str
) -> None:
    question = f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params % text}}}'

    response = client.post("/rpc", content=question, headers={"content-type": "application/json"}).json()

    assert response["error"]["code"] == -32602
    assert response["error"]["data"]["param"] == param


def test_what_is_no_http_is_told_in_openais_shape(shared_broker: Broker) -> None:
    address = httpx.URL(shared_broker.url)
    with socket.create_connection((address.host, address.port or 0), timeout=20) as connection:
        connection.sendall(b"hello\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        response = answer.read()

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert b'"code":"unreadable_request"' in response


def test_url_that_is_too_long_is_told_in_openais_shape(shared_broker: Broker) -> None:
    address = httpx.URL(shared_broker.url)
    connection = http.client.HTTPConnection(address.host, address.port)
    try:
        connection.request("GET", "/v1/models?" + "a" * 70_000)
        answer = connection.getresponse()
        response = answer.read()
    finally:
        connection.close()

    assert answer.status == 431
    assert b"65536" in response
