"""Responses that a provider keeps: who may go on from them, and where such a call goes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hero_broker.core.errors import InvalidRequest, LedgerUnavailable, ModelNotFound
from hero_broker.core.records import StoredResponse
from hero_broker.core.usage import BYTES_PER_TOKEN
from hero_broker.kinds.wires import RESPONSES_WIRE
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import Head, Script, run
from tests.data_plane.test_endpoint import IP, Endpoint
from tests.kinds.test_responses import BEGUN, CREATED, DELTAS, END, ENDED, WHOLE, stream

PATH = "/v1/responses"
EVENTS = Head(content_type="text/event-stream")
ANSWER: Script = [Head(), json.dumps(ENDED).encode()]
FIRST = Provider("first", "https://first.example/v1", ("sk-1", "sk-2"), stream_usage=True, wire=RESPONSES_WIRE)
SECOND = Provider("second", "https://second.example/v1", ("sk-3",), stream_usage=True, wire=RESPONSES_WIRE)
KEYLESS = Provider("keyless", "https://keyless.example/v1", (), stream_usage=True, wire=RESPONSES_WIRE)
WAYS = (
    Route.to("m", "chat", FIRST, "gpt-first"),
    Route.to("large", "chat", FIRST, "gpt-large"),
    Route.to("m", "chat", SECOND, "gpt-second"),
    Route.to("other", "chat", SECOND, "gpt-other"),
    Route.to("local", "chat", KEYLESS, "gpt-local"),
    Route.to("vectors", "embedding", FIRST, "e"),
)
STORED = StoredResponse("resp_1", f"ip:{IP}", "first", FIRST.key_fingerprints[2], "m", "earlier", 1000, 2_000_000_000)


def asked(
    folder: Path,
    script: Script = ANSWER,
    *,
    body: Mapping[str, object] | None = None,
    stored: Sequence[StoredResponse] = (STORED,),
    path: str = PATH,
    ways: Sequence[Route] = WAYS,
    failure: LedgerUnavailable | None = None,
) -> tuple[Endpoint, BaseException | None]:
    """Make a call that goes on from "resp_1"."""

    async def main() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(folder, script, ways=ways)
        endpoint.directory.keep(*stored)
        endpoint.directory.failure = failure
        members = {"input": "hi", "previous_response_id": "resp_1"} if body is None else body
        endpoint.sends(json.dumps(members).encode())
        endpoint.begin(path)
        return endpoint, await endpoint.end()

    return run(main())


def sent(endpoint: Endpoint) -> dict[str, Any]:
    """Return what the provider got."""
    (body,) = endpoint.provider.bodies
    assert isinstance(body, bytes)
    members: dict[str, Any] = json.loads(body)
    return members


def kept_ids(folder: Path, script: Script, **members: object) -> list[str | None]:
    """Return the ids of stored responses that are written with the row of a call."""
    endpoint, raised = asked(folder, script, body={"model": "m", "input": "hi", **members})
    assert raised is None
    return [due.response_id for due in endpoint.ledger.due]


def whole(**members: object) -> Script:
    return [Head(), json.dumps({**ENDED, **members}).encode()]


@pytest.mark.parametrize(
    ("script", "members", "ids"),
    [
        pytest.param(whole(), {}, ["resp_1"], id="whole"),
        pytest.param(whole(), {"store": True}, ["resp_1"], id="store"),
        pytest.param(whole(), {"store": False}, [None], id="not to be stored"),
        pytest.param(whole(store=False), {}, [None], id="provider does not store"),
        pytest.param(whole(id="é"), {}, [None], id="odd id"),
        pytest.param([EVENTS, WHOLE], {"stream": True}, ["resp_1"], id="stream"),
        pytest.param([EVENTS, WHOLE], {"stream": True, "store": False}, [None], id="stream not to be stored"),
        pytest.param([EVENTS, stream(CREATED, *DELTAS)], {"stream": True}, [None], id="stream that breaks off"),
        pytest.param(
            [EVENTS, stream(CREATED, *DELTAS, {**END, "response": {**ENDED, "usage": None}})],
            {"stream": True},
            ["resp_1"],
            id="stream without usage",
        ),
        pytest.param(
            [
                EVENTS,
                stream(CREATED, {**END, "type": "response.failed", "response": {**BEGUN, "error": {"code": "c"}}}),
            ],
            {"stream": True},
            [None],
            id="failed",
        ),
        pytest.param([Head(400), b'{"error": {"message": "m"}, "id": "resp_1"}'], {}, [None], id="refused"),
        pytest.param(whole(error={"code": "c"}), {}, [None], id="error inside a success"),
    ],
)
def test_id_is_written_with_the_row_if_the_provider_keeps_the_response(
    tmp_path: Path, script: Script, members: dict[str, object], ids: list[str | None]
) -> None:
    assert kept_ids(tmp_path, script, **members) == ids


def test_no_id_is_written_for_a_compaction(tmp_path: Path) -> None:
    script: Script = [Head(), json.dumps({**ENDED, "object": "response.compaction"}).encode()]

    endpoint, _ = asked(tmp_path, script, body={"model": "m", "input": "hi"}, path=f"{PATH}/compact")

    assert [due.response_id for due in endpoint.ledger.due] == [None]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/compact", f"{PATH}/input_tokens"])
def test_call_goes_on_at_the_same_provider_and_key_with_the_same_model(tmp_path: Path, path: str) -> None:
    endpoint, raised = asked(tmp_path, path=path)

    assert raised is None
    (provider,) = endpoint.provider.providers
    assert (provider.name, provider.only_key) == ("first", 2)
    assert endpoint.provider.urls == [f"https://first.example{path}"]
    assert sent(endpoint) == {"input": "hi", "previous_response_id": "resp_1", "model": "gpt-first"}
    assert endpoint.directory.lookups == [("resp_1", f"ip:{IP}")]
    rows = [] if path.endswith("input_tokens") else [("m", None)]
    assert [(row.model, row.requested_model) for row in endpoint.ledger.rows] == rows


def test_request_may_name_another_model_of_the_same_provider(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, body={"model": "large", "input": "hi", "previous_response_id": "resp_1"})

    assert raised is None
    assert sent(endpoint)["model"] == "gpt-large"


@pytest.mark.parametrize("members", [{}, {"model": "m"}, {"model": "second/m"}])
def test_of_two_providers_of_a_model_the_one_that_keeps_the_response_is_called(
    tmp_path: Path, members: dict[str, object]
) -> None:
    stored = replace(STORED, provider="second", provider_key=SECOND.key_fingerprints[1])

    endpoint, raised = asked(
        tmp_path, body={"input": "hi", "previous_response_id": "resp_1", **members}, stored=[stored]
    )

    assert raised is None
    assert [provider.name for provider in endpoint.provider.providers] == ["second"]
    assert sent(endpoint)["model"] == "gpt-second"


def test_provider_without_keys_keeps_responses_too(tmp_path: Path) -> None:
    stored = replace(STORED, provider="keyless", provider_key=None, model="local")

    endpoint, raised = asked(tmp_path, stored=[stored])

    assert raised is None
    assert endpoint.provider.urls == ["https://keyless.example/v1/responses"]


@pytest.mark.parametrize(
    ("stored", "members"),
    [
        pytest.param([], {}, id="unknown"),
        pytest.param([replace(STORED, owner="ip:192.0.2.2")], {}, id="of a stranger"),
        pytest.param([replace(STORED, owner=f"key:{IP}")], {}, id="of a key with the name of the address"),
        pytest.param([replace(STORED, provider="gone")], {}, id="provider gone"),
        pytest.param([replace(STORED, provider_key="00000000")], {}, id="key gone"),
        pytest.param([replace(STORED, provider_key=None)], {}, id="had no key"),
        pytest.param([replace(STORED, provider="keyless", model="local")], {}, id="has no key any more"),
        pytest.param([replace(STORED, model="gone")], {}, id="model gone"),
        pytest.param([replace(STORED, model="vectors")], {}, id="model of another kind"),
        pytest.param([STORED], {"model": "other"}, id="model of another provider"),
        pytest.param([STORED], {"previous_response_id": "a" * 129}, id="too long"),
        pytest.param([STORED], {"previous_response_id": "resp_é"}, id="not ASCII"),
        pytest.param([STORED], {"previous_response_id": "../resp_1"}, id="path"),
        pytest.param([STORED], {"previous_response_id": "resp_1\n"}, id="line"),
        pytest.param([STORED], {"previous_response_id": "resp_1\0"}, id="NUL"),
    ],
)
def test_call_that_cannot_go_on_is_told_so_in_openais_words(
    tmp_path: Path, stored: Sequence[StoredResponse], members: dict[str, object]
) -> None:
    body = {"input": "hi", "previous_response_id": "resp_1", **members}

    endpoint, raised = asked(tmp_path, body=body, stored=stored)

    assert isinstance(raised, InvalidRequest)
    assert (raised.status, raised.code, raised.param) == (400, "previous_response_not_found", "previous_response_id")
    assert raised.message.endswith("Send the whole history in 'input'.")
    assert (endpoint.provider.urls, endpoint.ledger.notes) == ([], [])


def test_unknown_model_is_not_found_as_ever(tmp_path: Path) -> None:
    _, raised = asked(tmp_path, body={"model": "unknown", "input": "hi", "previous_response_id": "resp_1"})

    assert isinstance(raised, ModelNotFound)


def test_store_that_does_not_answer_is_no_unknown_id(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, failure=LedgerUnavailable("no answer"))

    assert isinstance(raised, LedgerUnavailable)
    assert (raised.status, raised.retry_after_s) == (503, 5)
    assert endpoint.provider.urls == []


def test_estimate_has_the_tokens_of_the_response_before(tmp_path: Path) -> None:
    script: Script = [EVENTS, stream(CREATED, *DELTAS)]
    body = {"model": "m", "stream": True, "input": "one two three"}

    alone, _ = asked(tmp_path, script, body=body)
    continued, _ = asked(tmp_path, script, body={**body, "previous_response_id": "resp_1"})

    (short,), (long,) = alone.ledger.rows, continued.ledger.rows
    assert (short.usage_source, long.usage_source) == ("estimated", "estimated")
    assert short.input_tokens is not None
    assert long.input_tokens == short.input_tokens + 1000
    assert continued.ledger.notes[0].input_bytes == alone.ledger.notes[0].input_bytes + 1000 * BYTES_PER_TOKEN


def test_call_without_a_previous_response_looks_nothing_up(tmp_path: Path) -> None:
    endpoint, raised = asked(tmp_path, body={"model": "m", "input": "hi", "previous_response_id": None})

    assert raised is None
    assert endpoint.directory.lookups == []
