"""A broker answers as its OpenAPI document says: each route is asked by the document alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.registry import METHODS
from hero_broker.server import openapi
from tests.data_plane.test_upload import sound
from tests.e2e_support import Broker, broker
from tests.waits import wait_until

CONTRACT = load_document()
FAKE = {
    "/v1/chat/completions": "fake-chat",
    "/v1/completions": "fake-completion",
    "/v1/embeddings": "fake-embedding",
    "/v1/audio/speech": "fake-tts",
    "/v1/rerank": "fake-rerank",
    "/v2/rerank": "fake-rerank",
    "/v1/messages": "fake-chat",
    "/v1/messages/count_tokens": "fake-chat",
}
VALUES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hi"}],
    "prompt": "once",
    "input": "hi",
    "query": "a bill",
    "documents": ["bill", "call"],
    "max_tokens": 100,
}


@pytest.fixture
def client(tmp_path: Path, database_url: str) -> Iterator[httpx.Client]:
    with (
        broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=database_url) as running,
        httpx.Client(base_url=running.url) as asking,
    ):
        yield asking


@pytest.fixture(scope="session")
def calls_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose ledger nobody asks."""
    state = tmp_path_factory.mktemp("openapi") / "state"
    with broker(state, HERO_BROKER_DATABASE_URL=f"sqlite:///{state}/hero-broker.db") as running:
        yield running


def described(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").raise_for_status().json()
    return found


def conforms(document: dict[str, Any], path: str, answer: httpx.Response) -> int:
    """Return an answer's status, once the document allows all of it."""
    operation = document["paths"][path][answer.request.method.lower()]
    response = operation["responses"][str(answer.status_code)]
    kind = answer.headers["content-type"].partition(";")[0]
    allowed = {kind, f"{kind.partition('/')[0]}/*"} & response["content"].keys()
    assert allowed, (path, kind)
    if kind == "application/json":
        schema = {**response["content"][kind]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())
    assert answer.headers["x-request-id"]
    return answer.status_code


def ask(client: httpx.Client, document: dict[str, Any], path: str, verb: str, params: dict[str, Any]) -> httpx.Response:
    """Put parameters where the document says that they stand."""
    operation = document["paths"][path][verb]
    given = {name: value for name, value in params.items() if value is not None}
    left: dict[str, Any] = {}
    for name, value in given.items():
        left |= value if isinstance(value, dict) and "requestBody" not in operation else {name: value}
    url, query = path, {}
    for param in operation.get("parameters", ()):
        if param["name"] in left:
            value = left.pop(param["name"])
            if param["in"] == "path":
                url = url.replace(f"{{{param['name']}}}", str(value))
            else:
                query[param["name"]] = ",".join(value) if isinstance(value, list) else value
    assert "requestBody" in operation or left == {}
    return client.request(verb.upper(), url, params=query, json=left or None)


def test_examples_of_the_contract_are_answered_in_the_documented_schema(client: httpx.Client) -> None:
    document = described(client)
    made = client.post("/v1/chat/completions", json={"model": "fake-chat", "messages": VALUES["messages"]})
    wait_until(lambda: not client.get("/admin/health").json()["journal_pending"])
    statuses: dict[str, list[int]] = {}

    for method in CONTRACT["methods"]:
        route = METHODS[method["name"]].rest
        for example in method["examples"]:
            params = {param["name"]: param["value"] for param in example["params"]}
            answer = ask(client, document, route.template, route.verb.lower(), params)
            statuses.setdefault(method["name"], []).append(conforms(document, route.template, answer))
    row = client.get(f"/billing/requests/{made.headers['x-request-id']}")

    # Each example has a ledger, models and limits of its own; its requests, its model and its budget are not here.
    not_here = {
        "billing.request": [404, 404],
        "billing.my_request": [404, 404],
        "prices.list": [404, 200],
        "limits.status": [404, 404, 200],
        "limits.get": [404, 404],
        "limits.grant": [404, 404],
        "limits.revoke": [404, 404],
        "limits.explain": [400, 400],
    }
    assert {name: found for name, found in statuses.items() if set(found) != {200}} == not_here
    assert conforms(document, "/billing/requests/{request_id}", row) == 200


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/billing/usage", {}),
        ("/billing/usage/{ip}", {"ip": "127.0.0.1"}),
        ("/billing/report", {"group_by": ["model"], "bucket": "day"}),
        ("/billing/requests", {"tz": "Europe/Berlin", "bom": True}),
        ("/billing/focus", {"since": 1_700_000_000}),
    ],
)
def test_exports_are_answered_in_the_documented_types(client: httpx.Client, path: str, params: dict[str, Any]) -> None:
    document = described(client)

    for kind in document["paths"][path]["get"]["responses"]["200"]["content"]:
        client.headers["accept"] = kind
        answer = ask(client, document, path, "get", params)
        assert conforms(document, path, answer) == 200
        assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("path", FAKE)
def test_call_of_the_described_members_is_answered_in_a_described_type(calls_broker: Broker, path: str) -> None:
    with httpx.Client(base_url=calls_broker.url) as client:
        document = described(client)
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        body = {name: VALUES.get(name, FAKE[path]) for name in schema["required"]}

        assert conforms(document, path, client.post(path, json=body)) == 200
        assert conforms(document, path, client.post(path, json={**body, "stream": True})) == 200
        assert conforms(document, path, client.post(path, json={})) == 400
        assert conforms(document, path, client.post(path, json={**body, "model": "none"})) == 404
        assert conforms(document, path, client.post(path, data={"model": "none"})) == 415
        assert conforms(document, path, client.post(path, json=body, headers={"x-hero-context": "a" * 129})) == 400


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_form_of_the_described_fields_is_answered_in_a_described_type(calls_broker: Broker, path: str) -> None:
    with httpx.Client(base_url=calls_broker.url) as client:
        document = described(client)
        audio = {"file": ("a.wav", sound(1), "audio/wav")}
        kinds = []
        for more in ({}, {"response_format": "text"}, {"response_format": "vtt"}, {"stream": "true"}):
            answer = client.post(path, data={"model": "fake-stt", **more}, files=audio)
            assert conforms(document, path, answer) == 200
            kinds.append(answer.headers["content-type"])

        assert kinds[0] == "application/json"
        assert conforms(document, path, client.post(path, files=audio)) == 400


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/", "/"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/{name}", "/v1/models/fake/fake-chat"),
        ("/health/live", "/health/live"),
        ("/health/ready", "/health/ready"),
        ("/openapi.json", "/openapi.json"),
    ],
)
def test_what_is_read_is_answered_in_the_documented_schema(shared_broker: Broker, path: str, url: str) -> None:
    with httpx.Client(base_url=shared_broker.url) as client:
        document = described(client)

        assert conforms(document, path, client.get(url)) == 200
        assert conforms(document, path, client.get(url, headers={"x-hero-context": "a" * 129})) == 400
        assert conforms(document, path, client.get(url, headers={"host": "broker.example"})) == 403


@pytest.mark.parametrize(
    ("query", "status"), [("", 200), ("?limit=2&after_id=fake-chat", 200), ("?limit=0", 400), ("?before_id=none", 400)]
)
def test_models_in_anthropics_shape_are_as_described(shared_broker: Broker, query: str, status: int) -> None:
    with httpx.Client(base_url=shared_broker.url, headers={"anthropic-version": "2023-06-01"}) as client:
        document = described(client)

        assert conforms(document, "/v1/models", client.get(f"/v1/models{query}")) == status
        assert conforms(document, "/v1/models/{name}", client.get("/v1/models/fake-chat")) == 200


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ('{"jsonrpc": "2.0", "id": 1, "method": "system.info"}', 200),
        ('[{"jsonrpc": "2.0", "id": "a", "method": "none"}]', 200),
        ("{", 200),
    ],
)
def test_rpc_is_answered_in_the_documented_schema(shared_broker: Broker, question: str, status: int) -> None:
    with httpx.Client(base_url=shared_broker.url) as client:
        answer = client.post("/rpc", content=question, headers={"content-type": "application/json"})

        assert conforms(described(client), "/rpc", answer) == status


def test_document_is_what_the_program_makes_of_its_contract(shared_broker: Broker) -> None:
    served = httpx.get(f"{shared_broker.url}/openapi.json")

    assert served.headers["content-type"] == "application/json"
    assert served.json() == json.loads(json.dumps(openapi.document(CONTRACT)))


def test_document_needs_the_admin_token_as_it_says(tmp_path: Path) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN="secret") as running, httpx.Client(base_url=running.url) as client:
        refused = client.get("/openapi.json")
        document = client.get("/openapi.json", headers={"authorization": "Bearer secret"}).json()

    assert conforms(document, "/openapi.json", refused) == 401
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
