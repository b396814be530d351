"""Requests about stored responses go to the provider and the key that keep the response, and have no row."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import Scope

from hero_broker.core.calls import Caller
from hero_broker.core.errors import (
    BrokerError,
    InvalidRequest,
    LedgerUnavailable,
    MethodNotAllowed,
    NotFound,
    ProviderReset,
    TooManyCalls,
)
from hero_broker.core.records import StoredResponse
from hero_broker.data_plane.path_spellings import PREFIXES, stored_path
from hero_broker.data_plane.stored_endpoint import StoredResponseEndpoint
from hero_broker.data_plane.stored_responses import StoredResponses
from hero_broker.kinds.kind import STORED_ID
from hero_broker.providers.routes import Routes
from tests.data_plane.scripted import KEY, PAUSE, Head, Script, ScriptedClient, ScriptedClock, run, until
from tests.data_plane.test_endpoint import IP, Endpoint, NoList
from tests.data_plane.test_stored_responses import STORED, WAYS
from tests.kinds.test_responses import ENDED

PATH = "/v1/responses/resp_1"
ANSWER: Script = [Head(), json.dumps(ENDED).encode()]
DELETED: Script = [Head(), b'{"id": "resp_1", "object": "response", "deleted": true}']
EACH = [("GET", PATH), ("DELETE", PATH), ("POST", f"{PATH}/cancel"), ("GET", f"{PATH}/input_items")]


class StoredEndpoint(Endpoint):
    """The endpoint of stored responses over a scripted provider; make it inside `run`."""

    def __init__(
        self,
        folder: Path,
        *scripts: Script,
        stored: Sequence[StoredResponse] = (STORED,),
        client: ScriptedClient | None,
    ) -> None:
        super().__init__(folder, *scripts, client=client)
        self.directory.keep(*stored)
        responses = StoredResponses(self.directory, Routes(WAYS, [], NoList()))
        self.stored = StoredResponseEndpoint(self.exchange, responses, self.admission, ScriptedClock())

    def ask(self, method: str, path: str, query: str = "", **headers: str) -> "asyncio.Task[None]":
        """Make a request."""
        found = stored_path(path)
        assert found is not None
        scope: Scope = {
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "state": {
                "client": self.client.channel(),
                "caller": Caller(IP, None),
                "request_id": "id",
                "stored": found,
            },
        }

        async def unused(*_: object) -> dict[str, object]:
            raise AssertionError("nothing is received, and the endpoint answers through its client alone")

        self.task = asyncio.ensure_future(self.stored(scope, unused, unused))  # type: ignore[arg-type]
        return self.task


def asked(
    folder: Path,
    script: Script = ANSWER,
    *,
    method: str = "GET",
    path: str = PATH,
    query: str = "",
    stored: Sequence[StoredResponse] = (STORED,),
    failure: BrokerError | None = None,
    client: ScriptedClient | None = None,
    **headers: str,
) -> tuple[StoredEndpoint, BaseException | None]:
    async def main() -> tuple[StoredEndpoint, BaseException | None]:
        endpoint = StoredEndpoint(folder, script, stored=stored, client=client)
        endpoint.directory.failure = failure
        endpoint.ask(method, path, query, **headers)
        return endpoint, await endpoint.end()

    return run(main())


@pytest.mark.parametrize(("method", "path"), EACH)
def test_owners_request_goes_to_the_provider_and_key_that_keep_the_response(
    tmp_path: Path, method: str, path: str
) -> None:
    endpoint, raised = asked(tmp_path, method=method, path=path, x_title="t", authorization="Bearer theirs")

    assert raised is None
    (provider,) = endpoint.provider.providers
    assert (provider.name, provider.only_key) == ("first", 2)
    assert (endpoint.provider.bodies, endpoint.provider.urls) == ([method], [f"https://first.example{path}"])
    assert endpoint.provider.headers == [(("x-title", "t"),)]
    assert (endpoint.client.status, endpoint.client.body) == (200, ANSWER[1])
    assert (endpoint.ledger.notes, endpoint.ledger.rows, endpoint.provider.closed) == ([], [], [True])


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param([], id="unknown"),
        pytest.param([replace(STORED, owner="ip:192.0.2.2")], id="of a stranger"),
        pytest.param([replace(STORED, provider="gone")], id="provider gone"),
        pytest.param([replace(STORED, provider_key="00000000")], id="key gone"),
    ],
)
@pytest.mark.parametrize(("method", "path"), EACH)
def test_response_of_nobody_or_of_a_stranger_is_not_found(
    tmp_path: Path, stored: Sequence[StoredResponse], method: str, path: str
) -> None:
    endpoint, raised = asked(tmp_path, method=method, path=path, stored=stored)

    assert isinstance(raised, NotFound)
    assert (raised.code, raised.message) == ("not_found", "Response with id 'resp_1' not found.")
    assert endpoint.provider.urls == []


@pytest.mark.parametrize(("method", "path"), EACH)
def test_store_that_does_not_answer_is_503(tmp_path: Path, method: str, path: str) -> None:
    _, raised = asked(tmp_path, method=method, path=path, failure=LedgerUnavailable("no answer"))

    assert isinstance(raised, LedgerUnavailable)


def test_response_is_reached_although_its_model_is_gone(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, stored=[replace(STORED, model="gone")])

    assert raised is None
    assert endpoint.provider.urls == [f"https://first.example{PATH}"]


def test_deleted_response_is_forgotten(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, DELETED, method="DELETE")

    assert raised is None
    assert endpoint.directory.responses == {}


@pytest.mark.parametrize("status", [404, 500])
def test_response_that_the_provider_does_not_delete_stays(tmp_path: Path, status: int) -> None:
    endpoint, raised = asked(tmp_path, [Head(status), b'{"error": {"message": "m"}}'], method="DELETE")

    assert raised is None
    assert endpoint.client.status == status
    assert list(endpoint.directory.responses) == [("resp_1", f"ip:{IP}")]


@pytest.mark.parametrize(("method", "path"), EACH[:1] + EACH[2:])
def test_no_other_request_forgets_the_response(tmp_path: Path, method: str, path: str) -> None:
    endpoint, _ = asked(tmp_path, method=method, path=path)

    assert list(endpoint.directory.responses) == [("resp_1", f"ip:{IP}")]


@pytest.mark.parametrize("is_slow", [False, True])
def test_head_is_a_get_without_its_body(tmp_path: Path, is_slow: bool) -> None:
    endpoint, raised = asked(tmp_path, method="HEAD", client=ScriptedClient([], is_slow=is_slow))

    body = ANSWER[1]
    assert raised is None
    assert isinstance(body, bytes)
    assert endpoint.provider.bodies == ["GET"]
    assert (endpoint.client.status, endpoint.client.body) == (200, b"")
    assert endpoint.client.headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", PATH, b"DELETE, GET, HEAD"),
        ("PUT", PATH, b"DELETE, GET, HEAD"),
        ("GET", f"{PATH}/cancel", b"POST"),
        ("HEAD", f"{PATH}/cancel", b"POST"),
        ("DELETE", f"{PATH}/input_items", b"GET, HEAD"),
    ],
)
def test_other_methods_are_not_allowed(tmp_path: Path, method: str, path: str, allowed: bytes) -> None:
    _, raised = asked(tmp_path, method=method, path=path)

    assert isinstance(raised, MethodNotAllowed)
    assert raised.headers == ((b"allow", allowed),)


@pytest.mark.parametrize(
    ("path", "query", "forwarded"),
    [
        (PATH, "", ""),
        (PATH, "include=reasoning.encrypted_content", "?include=reasoning.encrypted_content"),
        (PATH, "include[]=a&include%5B%5D=b.c", "?include%5B%5D=a&include%5B%5D=b.c"),
        (PATH, "stream=false&starting_after=False&api-version=1&key=secret", ""),
        (PATH, "limit=2", ""),
        (
            f"{PATH}/input_items",
            "after=msg_1&limit=20&order=asc&include=a",
            "?after=msg_1&limit=20&order=asc&include=a",
        ),
        (f"{PATH}/input_items", "before=msg_1&limit[]=5", "?before=msg_1"),
        (f"{PATH}/input_items", "after=" + "a" * 128, "?after=" + "a" * 128),
        (f"{PATH}/cancel", "after=msg_1", ""),
    ],
)
def test_known_parameters_are_forwarded_and_no_others(tmp_path: Path, path: str, query: str, forwarded: str) -> None:
    method = "POST" if path.endswith("cancel") else "GET"

    endpoint, raised = asked(tmp_path, method=method, path=path, query=query)

    assert raised is None
    assert endpoint.provider.urls == [f"https://first.example{path}{forwarded}"]


@pytest.mark.parametrize(
    ("path", "query", "param", "code"),
    [
        (PATH, "stream=true", "stream", "unsupported_parameter"),
        (PATH, "stream=1", "stream", "unsupported_parameter"),
        (PATH, "stream=false&stream=true", "stream", "unsupported_parameter"),
        (PATH, "starting_after=5", "starting_after", "unsupported_parameter"),
        (PATH, "include=", "include", None),
        (PATH, "include[]=a/b", "include", None),
        (f"{PATH}/input_items", "after=a%26key=b", "after", None),
        (f"{PATH}/input_items", "after=a%0d%0ab", "after", None),
        (f"{PATH}/input_items", "after=%C3%A9", "after", None),
        (f"{PATH}/input_items", "after=" + "a" * 129, "after", None),
        (f"{PATH}/input_items", "&".join(["a=b"] * 33), None, None),
    ],
)
def test_parameter_that_cannot_be_forwarded_is_refused(
    tmp_path: Path, path: str, query: str, param: str | None, code: str | None
) -> None:
    endpoint, raised = asked(tmp_path, path=path, query=query)

    assert isinstance(raised, InvalidRequest)
    assert (raised.param, raised.code) == (param, code)
    assert endpoint.provider.urls == []


def test_error_of_the_provider_passes_without_its_key(tmp_path: Path) -> None:
    body = json.dumps({"error": {"message": f"no {KEY} of sk-2", "code": "c"}}).encode()

    endpoint, raised = asked(tmp_path, [Head(404), body])

    assert raised is None
    assert endpoint.client.status == 404
    assert b"sk-2" not in endpoint.client.body
    assert json.loads(endpoint.client.body)["error"]["code"] == "c"


def test_failure_is_left_to_the_edge(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, [ProviderReset("")])

    assert isinstance(raised, ProviderReset)
    assert endpoint.client.status is None


def test_request_holds_a_slot(tmp_path: Path) -> None:
    async def main() -> tuple[dict[str, int], BaseException | None]:
        endpoint = StoredEndpoint(tmp_path, [PAUSE, *ANSWER], client=None)
        first = endpoint.ask("GET", PATH)
        await endpoint.provider.paused()
        held = dict(endpoint.in_flight)
        second = endpoint.ask("GET", PATH)
        await until(second.done)
        endpoint.provider.go_on()
        await until(first.done)
        endpoint.estimates.close()
        return held, second.exception()

    held, raised = run(main())

    assert held == {"server.max_calls": 1, "server.max_calls_per_address": 1}
    assert isinstance(raised, TooManyCalls)


@pytest.mark.parametrize("prefix", ["/v1", *PREFIXES])
@pytest.mark.parametrize("end", ["", "/cancel", "/input_items"])
def test_each_spelling_of_a_path_has_the_same_meaning(prefix: str, end: str) -> None:
    found = stored_path(f"{prefix}/responses/resp_1{end}")

    assert found is not None
    assert (found.path, found.response_id) == (f"/v1/responses/{{{STORED_ID}}}{end}", "resp_1")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/",
        "/v1/responses/..",
        "/v1/responses/.",
        "/v1/responses/../files",
        "/v1/responses/..%2ffiles",
        "/v1/responses/a/../b",
        "/v1/responses//a",
        "/v1/responses/a/",
        "/v1/responses/a/cancel/",
        "/v1/responses/a/other",
        "/v1/responses/a?b",
        "/v1/responses/a#b",
        "/v1/responses/a\n",
        "/v1/responses/\u00e9",
        "/v1/responses/" + "a" * 129,
        "/v2/responses/a",
        "/x/v1/responses/a",
    ],
)
def test_path_with_an_odd_id_is_no_path_of_a_stored_response(path: str) -> None:
    assert stored_path(path) is None
