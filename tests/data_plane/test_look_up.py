"""Requests of Anthropic's wire at the endpoint: what is forwarded of them, and look-ups, which have no row."""

import asyncio
import json
from pathlib import Path

import pytest

from hero_broker.core.errors import (
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    ProviderAnswerTooLong,
    ProviderBadAnswer,
    ProviderReset,
)
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import KEY, PAUSE, Head, Script, ScriptedClient, route, run, until
from tests.data_plane.test_endpoint import OF_SERVER, Endpoint
from tests.data_plane.test_messages import PROVIDER, message

PATH, COUNT = "/v1/messages", "/v1/messages/count_tokens"
URL = "https://api.anthropic.example"
COUNTED: Script = [Head(more=(("request-id", "req_1"),)), b'{"input_tokens": 2095}']
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
OTHERS = Provider("other", "https://other.example/v1", (), stream_usage=True)
WAYS = (
    Route.to("m", "chat", PROVIDER, "claude-sonnet-4-5"),
    Route.to("small", "chat", PROVIDER, "claude-haiku-4-5", ("tiny",)),
    Route.to("elsewhere", "chat", OTHERS, "gpt-5"),
    Route.to("embedding", "embedding", PROVIDER, "e"),
)


def asked(
    folder: Path,
    script: Script,
    path: str = COUNT,
    body: object = ASKED,
    query: str = "",
    client: ScriptedClient | None = None,
    **headers: str,
) -> tuple[Endpoint, BaseException | None]:
    async def main() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(folder, script, ways=WAYS, client=client)
        endpoint.sends(json.dumps(body).encode())
        endpoint.begin(path, query=query, **headers)
        return endpoint, await endpoint.end()

    return run(main())


def test_count_of_tokens_passes_and_has_no_row(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, COUNTED, body={**ASKED, "api_key": "theirs"})

    assert raised is None
    assert (endpoint.client.status, endpoint.client.body) == (200, COUNTED[1])
    assert endpoint.client.headers[b"x-upstream-request-id"] == b"req_1"
    assert endpoint.provider.urls == [URL + COUNT]
    assert json.loads(str(endpoint.provider.bodies[0], "ascii")) == {**ASKED, "model": "claude-sonnet-4-5"}  # type: ignore[call-overload]
    assert (endpoint.ledger.notes, endpoint.ledger.rows, endpoint.provider.closed) == ([], [], [True])


def test_count_of_tokens_reaches_a_client_that_reads_slowly(tmp_path: Path) -> None:
    endpoint, _ = asked(tmp_path, COUNTED, client=ScriptedClient([], is_slow=True))

    assert endpoint.client.body == COUNTED[1]


def test_count_of_tokens_holds_a_slot(tmp_path: Path) -> None:
    async def main() -> dict[str, int]:
        endpoint = Endpoint(tmp_path, [PAUSE, *COUNTED], ways=WAYS)
        endpoint.sends(json.dumps(ASKED).encode())
        endpoint.begin(COUNT)
        await endpoint.provider.paused()
        held = endpoint.in_flight
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return held

    assert run(main()) == OF_SERVER


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param([ProviderReset("")], ProviderReset, id="reset"),
        pytest.param([Head(), b"<html>"], ProviderBadAnswer, id="no JSON"),
        pytest.param([Head(), b"x" * 2000], ProviderAnswerTooLong, id="too long"),
    ],
)
def test_look_up_that_fails_is_left_to_the_edge(tmp_path: Path, script: Script, error: type[Exception]) -> None:
    endpoint, raised = asked(tmp_path, script)

    assert isinstance(raised, error)
    assert (endpoint.client.status, endpoint.ledger.rows) == (None, [])


@pytest.mark.parametrize(("status", "passed"), [(400, 400), (429, 429), (529, 529), (401, 502)])
def test_error_of_a_look_up_is_that_of_a_call(tmp_path: Path, status: int, passed: int) -> None:
    body = json.dumps({"type": "error", "error": {"type": "x", "message": f"no {KEY}"}}).encode()

    endpoint, raised = asked(tmp_path, [Head(status), body])

    assert raised is None
    assert endpoint.client.status == passed
    assert KEY.encode() not in endpoint.client.body
    assert json.loads(endpoint.client.body)["type"] == "error"


@pytest.mark.parametrize("path", [PATH, COUNT])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"messages": "hi"}, InvalidRequest, "'messages' must be an array"),
        ({"model": "unknown"}, ModelNotFound, "does not exist"),
        ({"model": "embedding"}, ModelNotFound, "exists for calls of kind embedding, not for calls of kind messages"),
        ({"model": "elsewhere"}, ModelNotFound, "does not speak the wire 'anthropic'"),
        ({"fallbacks": [{"model": "unknown"}]}, InvalidRequest, "'fallbacks' names 'unknown', which is not a model of"),
        ({"fallbacks": [{"model": "elsewhere"}]}, InvalidRequest, "'fallbacks' names 'elsewhere'"),
    ],
)
def test_request_is_refused_before_anything_is_sent(
    tmp_path: Path, path: str, change: dict[str, object], error: type[Exception], words: str
) -> None:
    endpoint, raised = asked(tmp_path, COUNTED, path, {**ASKED, "max_tokens": 5, **change})

    assert isinstance(raised, error)
    assert words in str(raised)
    assert (endpoint.provider.urls, endpoint.ledger.notes) == ([], [])


def test_look_ups_take_no_other_method(tmp_path: Path) -> None:
    async def main() -> BaseException | None:
        endpoint = Endpoint(tmp_path, ways=WAYS)
        endpoint.begin(COUNT, "GET")
        return await endpoint.end()

    assert isinstance(run(main()), MethodNotAllowed)


@pytest.mark.parametrize("path", [PATH, COUNT])
@pytest.mark.parametrize(
    ("query", "forwarded"),
    [
        ("", ""),
        ("beta=true", "?beta=true"),
        ("beta=true&key=secret&beta=true", "?beta=true"),
        ("beta=", ""),
        ("beta=" + "x" * 17, ""),
        ("beta=a%2Fb", ""),
        ("other=1", ""),
    ],
)
def test_only_the_parameter_beta_is_forwarded(tmp_path: Path, path: str, query: str, forwarded: str) -> None:
    endpoint, _ = asked(tmp_path, [Head(), message()], path, {**ASKED, "max_tokens": 5}, query)

    assert endpoint.provider.urls == [URL + path + forwarded]


@pytest.mark.parametrize("path", [PATH, COUNT])
def test_version_and_betas_are_forwarded_and_the_callers_key_is_not(tmp_path: Path, path: str) -> None:
    endpoint, _ = asked(
        tmp_path,
        [Head(), message()],
        path,
        {**ASKED, "max_tokens": 5},
        x_api_key="theirs",
        authorization="Bearer theirs",
        anthropic_version="2023-01-01",
        anthropic_beta="a-1, oauth-2025-04-20",
        x_claude_code_session_id="s",
    )

    assert endpoint.provider.headers == [(("anthropic-version", "2023-01-01"), ("anthropic-beta", "a-1"))]


def test_headers_of_anthropic_are_forwarded_on_its_wire_alone(tmp_path: Path) -> None:
    async def main() -> Endpoint:
        endpoint = Endpoint(tmp_path, [Head(), b'{"choices":[]}'], ways=[route()])
        endpoint.sends(json.dumps(ASKED).encode())
        endpoint.begin(query="beta=true", anthropic_beta="a-1", x_title="t")
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(main())

    assert endpoint.provider.headers == [(("x-title", "t"),)]
    assert endpoint.provider.urls == ["http://p/v1/chat/completions"]


def test_fallbacks_that_the_provider_serves_are_forwarded_under_its_names(tmp_path: Path) -> None:
    body = {**ASKED, "max_tokens": 5, "fallbacks": [{"model": "tiny"}, {"model": "anthropic/m"}]}

    endpoint, raised = asked(tmp_path, [Head(), message()], PATH, body)

    assert raised is None
    sent = json.loads(str(endpoint.provider.bodies[0], "ascii"))  # type: ignore[call-overload]
    assert sent["fallbacks"] == [{"model": "claude-haiku-4-5"}, {"model": "claude-sonnet-4-5"}]


def test_client_that_leaves_does_not_stop_a_look_up(tmp_path: Path) -> None:
    async def main() -> Endpoint:
        endpoint = Endpoint(tmp_path, [PAUSE, *COUNTED], ways=WAYS)
        endpoint.sends(json.dumps(ASKED).encode())
        endpoint.begin(COUNT)
        await endpoint.provider.paused()
        endpoint.client.leave()
        endpoint.provider.go_on()
        await until(lambda: endpoint.provider.closed)
        assert await asyncio.wait_for(endpoint.end(), 20) is None
        return endpoint

    assert run(main()).provider.closed == [True]
