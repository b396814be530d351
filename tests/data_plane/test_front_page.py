"""The page at `/`: JSON for programs, HTML for browsers, and nothing that needs a token."""

import asyncio
import re

import httpx
import pytest
from starlette.applications import Starlette

from hero_broker import __version__
from hero_broker.data_plane.front_page import http_route, prefers_html
from hero_broker.kinds.registry import KIND_BY_PATH

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def ask(method: str = "GET", **headers: str) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=[http_route()]))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(request())


@pytest.mark.parametrize(
    ("accept", "is_html"),
    [
        (CHROMIUM, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8; q=0.5", True),
        ("text/html, application/json", True),
        ("application/json;q=0.1, text/html;q=0.2", True),
        ("*/*", False),
        ("", False),
        ("text/*", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html ; Q = 0.000", False),
        ("application/json", False),
    ],
)
def test_html_is_for_clients_that_name_it(accept: str, is_html: bool) -> None:
    assert prefers_html(accept) is is_html


def test_curl_gets_one_json_object() -> None:
    answer = ask(accept="*/*")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"
    assert answer.json()["base_url"] == {"openai": "/v1", "anthropic": "/"}
    assert answer.json()["calls"] == list(KIND_BY_PATH)
    assert answer.text.endswith("}\n")


def test_browser_gets_a_page_that_loads_and_runs_nothing() -> None:
    answer = ask(accept=CHROMIUM)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "this address and /v1" in answer.text
    assert not re.search("<script|src=|href=|url\\(", answer.text)


@pytest.mark.parametrize("accept", ["*/*", CHROMIUM])
def test_page_is_the_same_for_every_host_and_names_no_version(accept: str) -> None:
    answer = ask(accept=accept, host="evil.example")

    assert answer.text == ask(accept=accept).text
    assert __version__ not in answer.text


def test_head_has_no_body() -> None:
    head = ask("HEAD", accept="*/*")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == "application/json"
