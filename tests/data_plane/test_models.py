"""The list of models, in OpenAI's shape and in Anthropic's."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.models import MAX_LIMIT, ModelName, anthropic_page, http_routes
from hero_broker.pricing.listing import Listing
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes

PROVIDER = Provider("p", "http://127.0.0.1:1/v1", (), stream_usage=True)
NAMES = [ModelName(name, "p", "chat") for name in "abcde"]


class PriceList:
    """A price list with one more model, and one that the settings have too."""

    def find(self, _provider: str, _model: str) -> Listing | None:
        return None

    def models(self, _provider: str) -> Sequence[str]:
        return ("listed", "m")


ROUTES = Routes(
    [Route.to("m", "chat", PROVIDER, "m", ("alias",)), Route.to("ear", "stt", PROVIDER, "ear", ("m", "alias"))],
    [PROVIDER],
    PriceList(),
)


def ask(path: str, **headers: str) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=http_routes(ROUTES)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return asyncio.run(request())


def test_every_name_is_listed_once_with_its_kind() -> None:
    data = ask("/v1/models").json()["data"]

    names = [(model["id"], model["kind"]) for model in data]
    assert names[:3] == [("m", "chat"), ("ear", "stt"), ("alias", "chat")]
    assert [kind for _, kind in names[3:]] == [None] * len(names[3:])
    assert len({name for name, _ in names}) == len(names) > 3


def test_model_has_openais_members_and_its_kind() -> None:
    assert ask("/v1/models/ear").json() == {
        "id": "ear",
        "object": "model",
        "created": 0,
        "owned_by": "p",
        "display_name": "ear",
        "kind": "stt",
    }


@pytest.mark.parametrize("version", ["2023-06-01", ""])
def test_client_that_sends_a_version_gets_anthropics_shape(version: str) -> None:
    answer = ask("/v1/models?limit=1", anthropic_version=version)

    model = {"type": "model", "id": "m", "display_name": "m", "created_at": "1970-01-01T00:00:00Z", "kind": "chat"}
    assert answer.json() == {"data": [model], "has_more": True, "first_id": "m", "last_id": "m"}
    assert ask("/v1/models/m", anthropic_version=version).json() == model


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m"])
def test_caches_tell_both_shapes_apart(path: str) -> None:
    assert ask(path).headers["vary"] == ask(path, anthropic_version="1").headers["vary"] == "anthropic-version"


def test_openais_list_ignores_pages() -> None:
    assert ask("/v1/models?limit=none&after_id=none").json() == ask("/v1/models").json()


def page(**query: str) -> tuple[str, Any, Any, Any]:
    """Return the ids of a page, `has_more`, `first_id` and `last_id`."""
    found: dict[str, Any] = anthropic_page(NAMES, query)
    return "".join(model["id"] for model in found["data"]), found["has_more"], found["first_id"], found["last_id"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ("abcde", False, "a", "e")),
        ({"limit": "2"}, ("ab", True, "a", "b")),
        ({"limit": "5"}, ("abcde", False, "a", "e")),
        ({"limit": "2", "after_id": "b"}, ("cd", True, "c", "d")),
        ({"limit": "2", "after_id": "c"}, ("de", False, "d", "e")),
        ({"after_id": "e"}, ("", False, None, None)),
        ({"limit": "2", "before_id": "d"}, ("bc", True, "b", "c")),
        ({"limit": "2", "before_id": "c"}, ("ab", False, "a", "b")),
        ({"before_id": "a"}, ("", False, None, None)),
    ],
)
def test_page_is_what_its_query_asks_for(query: dict[str, str], expected: tuple[str, bool, str, str]) -> None:
    assert page(**query) == expected


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": str(MAX_LIMIT + 1)}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "1" * 5000}, "limit"),
        ({"limit": "\u0661"}, "limit"),
        ({"after_id": "none"}, "after_id"),
        ({"before_id": ""}, "before_id"),
        ({"after_id": "a", "before_id": "b"}, "before_id"),
    ],
)
def test_page_that_cannot_be_is_refused(query: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        page(**query)

    assert refused.value.param == param


def test_page_has_twenty_models_if_no_limit_is_given() -> None:
    many = [ModelName(str(number), "p", None) for number in range(30)]
    found: dict[str, Any] = anthropic_page(many, {})

    assert (len(found["data"]), found["has_more"]) == (20, True)
