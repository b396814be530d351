"""Requests that name what belongs to the operator's account."""

import json
import time

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.account_ids import refuse_account_ids, refuse_message_ids
from hero_broker.kinds.json_body import JsonBody, read_json
from hero_broker.kinds.wide_json import MAX_VALUES


def body(**members: object) -> JsonBody:
    return read_json(json.dumps({"model": "m", **members}).encode())


def part(**members: object) -> list[object]:
    return [{"role": "user", "content": [members]}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", part(type="input_file", file_id="file_1")),
        ("input", part(type="input_image", file_id="file_1")),
        ("input", [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "file_1"}]}]),
        ("input", [{"type": "computer_call_output", "output": {"file_id": "file_1"}}]),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
        ("tools", [{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
        ("tools", [{"type": "code_interpreter", "container": "cntr_1"}]),
        ("tools", [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file_1"]}}]),
        ("tools", [{"type": "image_generation", "input_image_mask": {"file_id": "file_1"}}]),
        ("tools", [{"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}}]),
        ("tools", [{"type": "shell", "environment": {"skills": [{"skill_id": "skill_1"}]}}]),
        ("tools", [{"type": "namespace", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}]),
    ],
)
def test_id_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        refuse_account_ids(body(**{name: value}), "input", "tools")

    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


def test_reference_without_a_type_is_refused_when_anything_else_looks_like_an_id() -> None:
    with pytest.raises(InvalidRequest, match="item_reference"):
        refuse_account_ids(body(input=[{"id": "msg_1"}, {"role": "user", "content": "file_id"}]), "input")


def test_escape_does_not_hide_a_name() -> None:
    hidden = json.dumps({"model": "m", "input": part(file_id="f")}).replace("file_id", "file\\u005fid")

    with pytest.raises(InvalidRequest, match="file_id"):
        refuse_account_ids(read_json(hidden.encode()), "input")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", "what is a file_id"),
        ("input", part(type="input_text", text="a container and a file_id")),
        ("input", part(type="input_file", file_id=None, file_data="data:,a")),
        ("input", part(type="output_text", text="a", annotations=[{"type": "file_citation", "file_id": "file_1"}])),
        ("input", [{"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"}]),
        ("input", [{"id": "msg_1", "role": "assistant", "content": "item_reference"}]),
        ("tools", [{"type": "function", "parameters": {"properties": {"file_id": {"type": "string"}}}}]),
        ("tools", [{"type": "custom", "name": "container"}]),
        ("tools", [{"type": "namespace", "tools": [{"type": "function", "parameters": {"file_id": {"a": 1}}}]}]),
        ("tools", [{"type": "code_interpreter", "container": {"type": "auto"}}]),
        ("tools", "file_id"),
    ],
)
def test_content_of_the_request_itself_is_accepted(name: str, value: object) -> None:
    members = body(**{name: value})

    refuse_account_ids(members, "input", "tools")

    assert json.loads(members.encode(model="m"))[name] == value


def test_input_with_too_many_values_is_not_read() -> None:
    wide = body(input=["file_id", *[1] * (MAX_VALUES + 1)])

    started = time.perf_counter()
    with pytest.raises(InvalidRequest, match="too many values"):
        refuse_account_ids(wide, "input")

    assert time.perf_counter() - started < 1


def source(**members: object) -> dict[str, object]:
    return {"type": "document", "source": members}


OF_FILE = source(type="file", file_id="file_1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("messages", part(**OF_FILE), id="document"),
        pytest.param("messages", part(type="container_upload", file_id="file_1"), id="file for a container"),
        pytest.param("messages", part(type="tool_result", content=[OF_FILE]), id="result of a tool"),
        pytest.param("messages", part(**source(type="content", content=[OF_FILE])), id="document of blocks"),
        pytest.param("container", "container_1", id="container"),
        pytest.param("container", {"id": "container_1"}, id="container in an object"),
        pytest.param("container", {"skills": [{"type": "custom", "skill_id": "skill_1"}]}, id="skill"),
    ],
)
def test_id_in_messages_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        refuse_message_ids(body(**{"messages": [], name: value}))

    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("messages", part(type="text", text="a file_id"), id="text"),
        pytest.param("messages", [{"role": "user", "content": "a file_id"}], id="one text"),
        pytest.param("messages", part(type="tool_use", input={"file_id": "a"}), id="input of the client's tool"),
        pytest.param("messages", [5, {"content": [5, {"source": 5, "content": "file_id"}]}], id="no blocks"),
        pytest.param("container", None, id="null"),
        pytest.param("container", {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}, id="Anthropic's own skill"),
    ],
)
def test_messages_without_an_id_pass(name: str, value: object) -> None:
    refuse_message_ids(body(**{"messages": [], name: value}))


def test_messages_with_too_many_values_to_search_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too many values"):
        refuse_message_ids(body(messages=["file_id", *[0] * (MAX_VALUES + 1)]))
