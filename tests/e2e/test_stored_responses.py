"""Responses that a provider keeps, over real sockets: chains, their owner, and what a crash leaves."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy import text

from hero_broker.store.engine import make_engine
from tests.e2e.provider import JSON_HEAD, Provider
from tests.e2e_support import Broker, broker
from tests.kinds.test_responses import ENDED
from tests.stores import locked, query

KEYS = ("sk-first-key", "sk-second-key", "sk-third-key")
IDS = "SELECT response_id, owner, provider, model, tokens FROM responses"


class Answering:
    """A provider that answers each request with the next id, and keeps what it got."""

    def __init__(self, provider: Provider, ids: Iterator[str]) -> None:
        self._provider = provider
        self._ids = ids
        self.requests: list[bytes] = []
        self.bodies: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while (name := next(self._ids, None)) is not None:
            with self._provider.accept_raw(60) as connection:
                received = connection.recv(65536)
                head, _, body = received.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                while len(body) < length:
                    body += connection.recv(65536)
                self.requests.append(head)
                self.bodies.append(json.loads(body or b"{}"))
                answer = json.dumps({**ENDED, "id": name}).encode()
                connection.sendall(JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(answer), answer))

    def end(self) -> None:
        """Wait for the last answer."""
        self._thread.join(60)


@contextmanager
def providers(*ids: str) -> Iterator[tuple[Provider, Answering]]:
    """Run a provider that gives its responses these ids."""
    with Provider() as provider:
        answers = Answering(provider, iter(ids))
        yield provider, answers
        answers.end()


def configure(folder: Path, provider: Provider, keys: tuple[str, ...] = KEYS[:2], name: str = "p") -> Path:
    """Write settings: the model "m" is at this provider, and "q/m" at another that is never called."""
    config = folder / "hero-broker.toml"
    listed = ", ".join(f'"{key}"' for key in keys)
    config.write_text(
        '[server]\ntrusted_proxies = ["127.0.0.9"]\n'
        f'[[providers]]\nname = "{name}"\nbase_url = "{provider.url}"\napi_keys = [{listed}]\n'
        'wires = ["openai", "responses"]\n'
        '[[providers]]\nname = "q"\nbase_url = "http://127.0.0.1:1/v1"\nwires = ["openai", "responses"]\n'
        f'[[models]]\nname = "m"\nprovider = "{name}"\n[models.price]\ninput_per_million = 1\n'
        "output_per_million = 1\n"
        '[[models]]\nname = "elsewhere"\nprovider = "q"\n'
    )
    return config


def calling(running: Broker, address: str = "127.0.0.1", **headers: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=running.url, transport=transport, headers=headers, timeout=60)


def post(client: httpx.Client, **members: object) -> httpx.Response:
    return client.post("/v1/responses", json={"input": "hi", **members})


def key_of(request: bytes) -> str:
    """Return the key that a request of the broker has."""
    return request.lower().partition(b"authorization: bearer ")[2].split(b"\r\n")[0].decode()


def execute(url: str, statement: str) -> None:
    engine = make_engine(url)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_openais_own_client_goes_on_and_asks_for_its_responses(shared_broker: Broker) -> None:
    with openai.OpenAI(base_url=f"{shared_broker.url}/v1", api_key="any", max_retries=0) as client:
        first = client.responses.create(model="fake-chat", input="one two three four")
        with client.responses.stream(input="five", previous_response_id=first.id, model="fake-chat") as events:
            second = events.get_final_response()
        third = client.responses.create(input="six", previous_response_id=second.id)
        got = client.responses.retrieve(second.id)
        items = client.responses.input_items.list(third.id)
        with pytest.raises(openai.BadRequestError, match="background"):
            client.responses.cancel(third.id)
        client.responses.delete(third.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(third.id)
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(input="seven", previous_response_id=third.id)

    assert [one.output_text for one in (first, second, third)] == ["two three four", "three four five", "four five six"]
    assert [one.usage.input_tokens for one in (first, second, third) if one.usage] == [4, 8, 12]
    assert got.output_text == second.output_text
    assert [item.id for item in items.data] == [f"msg_{third.id}_0"]
    assert refused.value.code == "previous_response_not_found"


def test_requests_about_a_response_have_no_row_and_each_spelling_is_served(shared_broker: Broker) -> None:
    with calling(shared_broker) as client:
        name = post(client, model="fake-chat", input="of many spellings").json()["id"]
        before = shared_broker.usage()["totals"]["requests"]
        paths = [f"{prefix}/responses/{name}" for prefix in ("/v1", "", "/v1/v1", "/openai/v1")]
        found = [client.get(path) for path in (*paths, *(f"{path}/input_items" for path in paths))]
        head = client.head(paths[0])
        after = shared_broker.usage()["totals"]["requests"]

    assert [one.status_code for one in found] == [200] * 8
    assert all(one.headers["x-request-id"] for one in found)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(found[0].content)))
    assert after == before


def test_response_is_that_of_its_address_alone(shared_broker: Broker) -> None:
    with calling(shared_broker) as owner, calling(shared_broker, "127.0.0.2") as stranger:
        name = post(owner, model="fake-chat", input="a secret").json()["id"]
        refused = post(stranger, model="fake-chat", previous_response_id=name)
        path = f"/v1/responses/{name}"
        found = [
            stranger.get(path),
            stranger.get(f"{path}/input_items"),
            stranger.post(f"{path}/cancel"),
            stranger.delete(path),
            post(stranger, previous_response_id=name),
        ]
        unknown = stranger.get("/v1/responses/resp_unknown")
        still = owner.get(path)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert [one.status_code for one in found] == [404, 404, 404, 404, 400]
    assert found[0].json()["error"]["message"].replace(name, "") == unknown.json()["error"]["message"].replace(
        "resp_unknown", ""
    )
    assert still.status_code == 200


@pytest.mark.usefixtures("store")
def test_owner_behind_a_trusted_proxy_is_the_address_that_it_names(tmp_path: Path, database_url: str) -> None:
    with (
        providers("resp_1", "resp_2") as (provider, answers),
        broker(tmp_path / "state", "--config", str(configure(tmp_path, provider))) as running,
        calling(running, "127.0.0.9", **{"x-forwarded-for": "10.0.0.7"}) as owner,
        calling(running, "127.0.0.9", **{"x-forwarded-for": "10.0.0.8"}) as stranger,
    ):
        post(owner, model="m").raise_for_status()
        refused = post(stranger, previous_response_id="resp_1")
        post(owner, previous_response_id="resp_1").raise_for_status()
        running.usage()
        owners = query(database_url, "SELECT owner FROM responses")

    assert refused.json()["error"]["code"] == "previous_response_not_found"
    assert owners == [("ip:10.0.0.7",)] * 2
    assert answers.bodies[1] == {"input": "hi", "previous_response_id": "resp_1", "model": "m"}


@pytest.mark.usefixtures("store")
def test_chain_goes_on_after_the_broker_is_killed_before_its_row_is_stored(tmp_path: Path, database_url: str) -> None:
    with providers("resp_1", "resp_2", "resp_3") as (provider, answers):
        config = str(configure(tmp_path, provider))
        with broker(tmp_path / "state", "--config", config) as running, calling(running) as client:
            with locked(database_url):
                post(client, model="m").raise_for_status()
                pending = post(client, previous_response_id="resp_1")
                running.process.kill()
                running.process.wait(timeout=30)
            stored = query(database_url, IDS)
        with broker(tmp_path / "state", "--config", config) as running, calling(running) as client:
            after = post(client, previous_response_id="resp_2")
            running.usage()
            lines = query(database_url, f"{IDS} ORDER BY response_id")

    assert (pending.status_code, stored, after.status_code) == (200, [], 200)
    assert lines == [(f"resp_{number}", "ip:127.0.0.1", "p", "m", 2352) for number in (1, 2, 3)]
    assert [body.get("previous_response_id") for body in answers.bodies] == [None, "resp_1", "resp_2"]
    assert len({key_of(request) for request in answers.requests}) == 1


@pytest.mark.usefixtures("store")
def test_chain_stays_with_its_key_while_other_calls_take_turns(tmp_path: Path) -> None:
    with (
        providers("resp_1", "other", "resp_2", "resp_3") as (provider, answers),
        broker(tmp_path / "state", "--config", str(configure(tmp_path, provider))) as running,
        calling(running) as client,
    ):
        post(client, model="m").raise_for_status()
        post(client, model="m").raise_for_status()
        post(client, previous_response_id="resp_1").raise_for_status()
        found = client.get("/v1/responses/resp_2?include[]=a")
        elsewhere = post(client, model="elsewhere", previous_response_id="resp_2")

    keys = [key_of(request) for request in answers.requests]
    assert (keys[0] == keys[1], keys[2:]) == (False, [keys[0]] * 2)
    assert found.status_code == 200
    assert answers.requests[3].startswith(b"GET /v1/responses/resp_2?include")
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (400, "previous_response_not_found")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "renamed"}, id="provider gone"),
        pytest.param({"keys": KEYS[2:]}, id="key gone"),
        pytest.param({"keys": ()}, id="without keys"),
    ],
)
@pytest.mark.usefixtures("store")
def test_response_is_unknown_once_its_provider_or_key_is_gone(tmp_path: Path, change: Mapping[str, Any]) -> None:
    with providers("resp_1") as (provider, _):
        config = str(configure(tmp_path, provider))
        with broker(tmp_path / "state", "--config", config) as running, calling(running) as client:
            post(client, model="m").raise_for_status()
        configure(tmp_path, provider, **change)
        with broker(tmp_path / "state", "--config", config) as running, calling(running) as client:
            refused = post(client, model="m", previous_response_id="resp_1")
            found = client.get("/v1/responses/resp_1")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.usefixtures("store")
def test_response_is_unknown_once_it_has_expired(tmp_path: Path, database_url: str) -> None:
    with (
        providers("resp_1") as (provider, _),
        broker(tmp_path / "state", "--config", str(configure(tmp_path, provider))) as running,
        calling(running) as client,
    ):
        post(client, model="m").raise_for_status()
        running.usage()
        execute(database_url, "UPDATE responses SET expires_at = 1")
        refused = post(client, previous_response_id="resp_1")
        found = client.delete("/v1/responses/resp_1")

    assert (refused.json()["error"]["code"], found.status_code) == ("previous_response_not_found", 404)


def test_database_that_is_gone_is_503_and_no_unknown_response(tmp_path: Path) -> None:
    database = tmp_path / "state" / "hero-broker.db"
    with (
        providers("resp_1") as (provider, _),
        broker(
            tmp_path / "state",
            "--config",
            str(configure(tmp_path, provider)),
            HERO_BROKER_DATABASE_URL=f"sqlite:///{database}",
        ) as running,
        calling(running) as client,
    ):
        post(client, model="m").raise_for_status()
        running.usage()
        database.rename(tmp_path / "elsewhere.db")
        refused = [post(client, previous_response_id="resp_1"), client.get("/v1/responses/resp_1")]
        (tmp_path / "elsewhere.db").rename(database)

    assert [(one.status_code, one.json()["error"]["code"]) for one in refused] == [(503, "ledger_unavailable")] * 2
    assert [one.headers["retry-after"] for one in refused] == ["5"] * 2


@pytest.mark.usefixtures("store")
def test_deleted_response_leaves_the_store(tmp_path: Path, database_url: str) -> None:
    with (
        providers("resp_1", "deleted") as (provider, answers),
        broker(tmp_path / "state", "--config", str(configure(tmp_path, provider))) as running,
        calling(running) as client,
    ):
        post(client, model="m").raise_for_status()
        client.delete("/v1/responses/resp_1").raise_for_status()
        found = client.get("/v1/responses/resp_1")

    assert answers.requests[1].startswith(b"DELETE /v1/responses/resp_1 HTTP/1.1\r\n")
    assert found.status_code == 404
    assert query(database_url, IDS) == []
