"""Which web pages may call, by what browsers say of them."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from hero_broker.core.errors import InvalidRequest, OriginRefused, UnreadableRequest
from hero_broker.edge.origins import MAX_LOGGED, Origins, answer_preflight, check_single, is_preflight

LISTED = "https://chat.example.org"
ORIGINS = Origins([LISTED, "app://obsidian.md"])
OTHERS = ["https://evil.example", "http://chat.example.org", "https://chat.example.org:444", "null", "", "*"]
CALL = "/v1/chat/completions"


def check(path: str = CALL, method: str = "POST", **headers: str) -> dict[bytes, bytes]:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return dict(ORIGINS.check(method, path, named))


@pytest.mark.parametrize("path", [CALL, "/chat/completions", "/v1/audio/transcriptions", "/v2/rerank", "/v1/none"])
@pytest.mark.parametrize("origin", [LISTED, "app://obsidian.md"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
def test_listed_page_may_call_and_read_the_answer(path: str, origin: str, site: str) -> None:
    cors_headers = check(path, origin=origin, sec_fetch_site=site)

    assert cors_headers[b"access-control-allow-origin"] == origin.encode()
    assert b"x-request-id" in cors_headers[b"access-control-expose-headers"].split(b", ")
    assert cors_headers[b"vary"] == b"Origin"


@pytest.mark.parametrize("path", [CALL, "/v1/models", "/v2/rerank", "/chat/completions", "/", "/health/live"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("origin", OTHERS)
def test_other_page_may_not_call(path: str, method: str, origin: str) -> None:
    with pytest.raises(OriginRefused):
        check(path, method, origin=origin, host="chat.example.org", sec_fetch_site="same-origin")


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/models/m", "/v1/v1/models", "/none"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_page_that_hides_its_origin_may_not_call(path: str, method: str, site: str) -> None:
    with pytest.raises(OriginRefused):
        check(path, method, sec_fetch_site=site, sec_fetch_mode="no-cors")


@pytest.mark.parametrize(
    "headers", [{}, {"sec_fetch_mode": "cors"}, {"sec_fetch_site": "none"}, {"sec_fetch_site": "same-origin"}]
)
def test_program_that_is_no_page_may_call(headers: dict[str, str]) -> None:
    assert check(**headers) == {}


def test_link_may_be_followed() -> None:
    assert check("/v1/models", "GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == {}


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready"])
def test_other_page_may_look_at_what_is_no_call(path: str) -> None:
    assert check(path, "GET", origin="https://evil.example", sec_fetch_site="cross-site") == {}


@pytest.mark.parametrize(
    "path", ["/v1/usage", "/v1/usage/", "/v1//usage", "/v1/usage/id", "/rpc", "/billing/usage", "/health/live"]
)
def test_listed_page_may_not_read_bills(path: str) -> None:
    assert check(path, "GET", origin=LISTED) == {}


def test_path_with_a_control_character_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        check("/v1/models\n", "GET", origin=LISTED)


@pytest.mark.parametrize(
    "requested",
    [
        "authorization,content-type,x-api-key,api-key,anthropic-version,anthropic-beta,x-hero-context,x-hero-want",
        "X-Stainless-Lang, x-stainless-os,openai-organization",
    ],
)
def test_preflight_allows_what_clients_send(requested: str) -> None:
    response_headers = preflight(requested.encode())

    allowed = response_headers[b"access-control-allow-headers"].split(b", ")
    assert {name.strip().lower().encode() for name in requested.split(",")} <= set(allowed)
    assert {b"POST", b"GET"} <= set(response_headers[b"access-control-allow-methods"].split(b", "))
    assert int(response_headers[b"access-control-max-age"]) > 0


def test_preflight_repeats_nothing_that_is_no_headers_name() -> None:
    response_headers = preflight(b"x-fine, a b, \xff, a:b, " + b"\x0b")

    assert response_headers[b"access-control-allow-headers"].split(b", ")[-1] == b"x-fine"


def preflight(requested: bytes) -> dict[bytes, bytes]:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {b"access-control-request-method": b"POST", b"access-control-request-headers": requested}
    assert is_preflight("OPTIONS", headers)
    assert not is_preflight("POST", headers)
    asyncio.run(answer_preflight(headers, send))
    assert sent[0]["status"] == 204
    return dict(sent[0]["headers"])


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"])
def test_header_that_decides_about_a_page_comes_once(name: str) -> None:
    header = (name.lower().encode(), b"https://chat.example.org")

    check_single([(b"host", b"a"), header, (b"accept", b"a"), (b"accept", b"b")])
    with pytest.raises(UnreadableRequest, match=f"at most one {name} header"):
        check_single([header, (b"host", b"a"), (header[0], b"")])


def test_refused_origin_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    origins = Origins([], lambda: now)
    evil, other = {b"origin": b"https://evil.example"}, {b"origin": b"https://other.example"}

    for now, headers in [(0.0, evil), (1.0, evil), (1.0, other), (59.9, evil), (60.0, evil), (60.0, {})]:  # noqa: B007  # the clock reads it
        origins.log_refused(headers, "192.0.2.7")

    assert [record.getMessage().partition(" was refused")[0] for record in caplog.records] == [
        "edge: a web page of 'https://evil.example'",
        "edge: a web page of 'https://other.example'",
        "edge: a web page of 'https://evil.example'",
        "edge: a web page that hides its origin",
    ]
    assert "192.0.2.7" in caplog.messages[0]
    assert "server.allowed_origins" in caplog.messages[0]


def test_refused_origins_fill_neither_the_memory_nor_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    origins = Origins([], lambda: now)

    for minute in range(3):
        now = 60.0 * minute
        for number in range(1_000):
            origins.log_refused({b"origin": b"https://%d.example/" % number + b"a" * 10_000}, "192.0.2.7")

    assert len(caplog.records) == 3 * MAX_LOGGED
    assert len(origins._refused) == MAX_LOGGED
    assert all(len(message) < 500 for message in caplog.messages)


def test_control_characters_of_an_origin_do_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Origins([]).log_refused({b"origin": b"a\tb\x9bc\r\n"}, "192.0.2.7")

    assert caplog.messages[0].isprintable()
