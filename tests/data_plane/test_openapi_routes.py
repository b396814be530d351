"""The description of a body says what its reader checks: neither more nor less."""

import asyncio
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hero_broker.core import errors
from hero_broker.core.calls import Attempt, Caller
from hero_broker.core.errors import (
    ClientLeft,
    HeadTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    Unauthorized,
    UpgradeRefused,
)
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.form_request import FormRequest
from hero_broker.data_plane.models import http_routes as model_routes
from hero_broker.data_plane.openapi_routes import CALLS, LOOK_UPS, MODELS, REFUSALS
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.registry import KIND_BY_PATH, LOOK_UP_KINDS
from hero_broker.kinds.route_spec import FORM, JSON, BodySpec, RouteSpec
from hero_broker.kinds.wires import WIRES
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.providers.routes import Route, Routes
from hero_broker.server.configured_routes import build_provider
from hero_broker.settings import ProviderSettings
from tests.data_plane.test_multipart import form, part
from tests.data_plane.test_upload import Client

URL = "http://127.0.0.1:1/v1"
PROVIDER = build_provider(ProviderSettings("p", URL, wires=dict.fromkeys(WIRES, URL)))
ROUTES = Routes([Route.to("m", None, PROVIDER, "m")], [], Catalogue())  # of no kind: it serves all
ARRIVAL = RequestContext("id", Caller(ip="192.0.2.1", peer_ip=None), 0)
SAMPLES: Mapping[str, Any] = {
    "string": "m",
    "array": ["a"],
    "object": {"a": 1},
    "boolean": True,
    "null": None,
    "integer": 5,
}
JSON_CALLS = [call for call in (*CALLS, *LOOK_UPS) if call.body is not None and call.body.media_type == JSON]
FORM_CALLS = [call for call in CALLS if call.body is not None and call.body.media_type == FORM]


def body_of(call: RouteSpec) -> BodySpec:
    assert call.body is not None
    return call.body


def forms_of(schema: Mapping[str, Any]) -> list[str]:
    return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


def sample(schema: Mapping[str, Any], form: str) -> Any:
    """Return a value of this form; it is described if its form is."""
    if form == "array" and "items" in schema:
        return [dict.fromkeys(schema["items"]["required"], "m")]
    if form == "boolean" and "enum" in schema:
        return next(value for value in schema["enum"] if isinstance(value, bool))
    return SAMPLES[form]


def least(call: RouteSpec) -> dict[str, Any]:
    """Return a body of the required members alone, each in its first form; of those with a choice, the first."""
    body = body_of(call)
    return {name: SAMPLES[forms_of(body.members[name])[0]] for name in (*body.any_of[:1], *body.required)}


def read(call: RouteSpec, members: Mapping[str, Any]) -> Attempt:
    kind = (KIND_BY_PATH | LOOK_UP_KINDS)[call.path]
    body = read_json(json.dumps(members).encode(), kind.default_model and "m")
    request = kind.read_look_up(body) if call.path in LOOK_UP_KINDS else kind.read(body)
    route = ROUTES.find(request.model, kind.name)
    return ClientCall(ARRIVAL, kind, call.path, request).attempt(route, route.targets[0])


EACH_MEMBER = [
    pytest.param(call, name, id=f"{call.path} {name}") for call in JSON_CALLS for name in body_of(call).members
]


def test_every_call_is_described_once() -> None:
    assert sorted(call.path for call in CALLS) == sorted(KIND_BY_PATH)
    assert sorted(call.path for call in LOOK_UPS) == sorted(LOOK_UP_KINDS)
    assert {call.path for call in FORM_CALLS} == {path for path, kind in KIND_BY_PATH.items() if kind.takes_form}
    assert [route.path.replace(":path}", "}") for route in model_routes(ROUTES)] == [route.path for route in MODELS]


# Errors of calls that no described request gets: another method than POST, an upgrade, a head that is too large, or a
# client that is gone.
UNDESCRIBED = (MethodNotAllowed, UpgradeRefused, HeadTooLarge, ClientLeft)
ADMIN_ONLY = (Unauthorized,)


def test_each_status_of_a_refused_call_is_described() -> None:
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.BrokerError)]

    statuses = {one.status for one in classes if not issubclass(one, UNDESCRIBED + ADMIN_ONLY)}

    assert statuses == set(REFUSALS)


@pytest.mark.parametrize("call", JSON_CALLS, ids=lambda call: call.path)
def test_required_members_are_enough_and_further_ones_go_through(call: RouteSpec) -> None:
    made = read(call, {**least(call), "further": [1]})

    assert isinstance(made.body, bytes)
    assert json.loads(made.body) == {"model": "m", **least(call), "further": [1]}


@pytest.mark.parametrize(("call", "name"), EACH_MEMBER)
def test_member_may_be_missing_unless_it_is_required(call: RouteSpec, name: str) -> None:
    members = least(call)
    members.pop(name, None)

    if name in least(call):
        with pytest.raises(InvalidRequest) as refused:
            read(call, members)
        assert refused.value.param == name
    else:
        read(call, members)


@pytest.mark.parametrize("form_of_it", SAMPLES)
@pytest.mark.parametrize(("call", "name"), EACH_MEMBER)
def test_member_may_have_the_described_forms_and_no_other(call: RouteSpec, name: str, form_of_it: str) -> None:
    schema = body_of(call).members[name]
    members = {**least(call), name: sample(schema, form_of_it)}

    if form_of_it in forms_of(schema):
        read(call, members)
    else:
        with pytest.raises(InvalidRequest) as refused:
            read(call, members)
        assert refused.value.param == name


@pytest.mark.parametrize(("call", "name"), EACH_MEMBER)
def test_text_may_be_empty_unless_a_length_is_described(call: RouteSpec, name: str) -> None:
    schema = body_of(call).members[name]
    members = {**least(call), name: ""}

    if "string" in forms_of(schema) and "minLength" not in schema:
        read(call, members)
    else:
        with pytest.raises(InvalidRequest) as refused:
            read(call, members)
        assert refused.value.param == name


def upload(directory: Path, call: RouteSpec, fields: Mapping[str, bytes]) -> Attempt:
    parts = [part(name, text, file_name="a.wav" if name == "file" else None) for name, text in fields.items()]

    async def run() -> Attempt:
        request = FormRequest(KIND_BY_PATH[call.path], b"multipart/form-data; boundary=b", ROUTES, directory, 1 << 20)
        client = Client()
        client.sends(form(*parts), more=False)
        await request.upload.receive(client.receive, 20)
        try:
            await request.upload.ready()
            made, route = request.call(call.path, 0, ARRIVAL)
            return made.attempt(route, route.targets[0])
        finally:
            await request.upload.close()

    return asyncio.run(run())


LEAST = {"model": b"m", "file": b"RIFF"}


@pytest.mark.parametrize("call", FORM_CALLS, ids=lambda call: call.path)
def test_form_needs_what_is_described_and_may_have_more(tmp_path: Path, call: RouteSpec) -> None:
    upload(tmp_path, call, LEAST)
    upload(tmp_path, call, {**LEAST, "further": b"1"})

    assert set(body_of(call).required) == LEAST.keys()
    for name in LEAST:
        for fields in ({other: text for other, text in LEAST.items() if other != name}, {**LEAST, name: b""}):
            with pytest.raises(InvalidRequest) as refused:
                upload(tmp_path, call, fields)
            assert refused.value.param == name
            assert body_of(call).members[name]["minLength"] == 1


@pytest.mark.parametrize("call", FORM_CALLS, ids=lambda call: call.path)
def test_field_of_few_words_takes_those_and_no_other(tmp_path: Path, call: RouteSpec) -> None:
    words = body_of(call).members["stream"]["enum"]

    for word in (*words, "TRUE"):
        assert upload(tmp_path, call, {**LEAST, "stream": word.encode()}).stream == (word.lower() in ("true", "1"))
    with pytest.raises(InvalidRequest) as refused:
        upload(tmp_path, call, {**LEAST, "stream": b"perhaps"})
    assert refused.value.param == "stream"
