"""What a client gets that asks in a way that nobody should: a reason in OpenAI's shape, and never a 500."""

import http.client
import socket

import httpx
import pytest

from hero_broker.data_plane.routes import CALL_PATHS
from tests.e2e_support import Broker

SHAPE = {"message", "type", "param", "code"}


def verbs(broker: Broker, path: str) -> set[str]:
    """Return what `Allow` says to a verb that no path knows."""
    refused = httpx.request("TRACE", broker.url + path)
    assert refused.status_code == 405
    assert set(refused.json()["error"]) == SHAPE
    assert refused.json()["error"]["code"] == "method_not_allowed"
    return set(refused.headers["allow"].split(", "))


@pytest.mark.parametrize("path", CALL_PATHS)
def test_call_is_made_by_post_alone(shared_broker: Broker, path: str) -> None:
    assert verbs(shared_broker, path) == {"POST"}
    for verb in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        refused = httpx.request(verb, shared_broker.url + path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_other_verb_is_told_those_that_the_path_has(shared_broker: Broker) -> None:
    assert verbs(shared_broker, "/v1/models") == {"GET", "HEAD"}
    assert verbs(shared_broker, "/admin/labels") == {"GET", "HEAD", "PUT", "DELETE"}


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/billing/usage", "/openrpc.json"])
def test_head_is_get_without_its_body(shared_broker: Broker, path: str) -> None:
    found, head = httpx.get(shared_broker.url + path), httpx.head(shared_broker.url + path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == found.headers["content-type"]


def test_what_is_no_http_is_told_in_openais_shape(shared_broker: Broker) -> None:
    address = httpx.URL(shared_broker.url)
    with socket.create_connection((address.host, address.port or 0)) as connection:
        connection.sendall(b"hello\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        told = answer.read()

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert b'"code":"unreadable_request"' in told


def test_url_that_is_too_long_is_told_in_openais_shape(shared_broker: Broker) -> None:
    address = httpx.URL(shared_broker.url)
    connection = http.client.HTTPConnection(address.host, address.port)
    try:
        connection.request("GET", "/v1/models?" + "a" * 70_000)
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()

    assert answer.status == 400
    assert b"65535" in told
