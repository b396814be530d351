"""Refuses requests that name what belongs to the operator's account at a provider, and so to no single caller.

Files, containers and stored items have ids; a caller who knows another caller's id could read what it names.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.texts import load, mapping, sequence
from hero_broker.kinds.wide_json import is_wide

UNSUPPORTED = "unsupported_parameter"  # the code that OpenAI has for members that a model does not take

# A body without these bytes names no id. An escape may hide a name.
_MAY_NAME_IDS = re.compile(rb"file_id|vector_store_id|container|skill_id|item_reference|\\u00[2-7]")
_OF_TOOLS = ("file_id", "file_ids", "vector_store_ids", "container_id", "skill_id")
_CLIENTS_TOOLS = ("function", "custom")  # the client runs them, and their schemas have any names


def refuse_account_ids(body: JsonBody, *names: str) -> None:
    """Return if these members name no file, container or stored item.

    Raises:
        InvalidRequest: they name one, or have too many values to be read.
    """
    for name in names:
        raw = body.members.get(name)
        if raw is None or _MAY_NAME_IDS.search(raw) is None:
            continue
        if is_wide(bytes(raw)):
            raise InvalidRequest(f"'{name}' has too many values to be searched for ids of files.", param=name)
        for found in _ids(load(bytes(raw)), is_tools=name == "tools"):
            raise InvalidRequest(
                f"'{name}' has {found}, which belongs to the account of the broker's operator. "
                "Send the content in the request itself.",
                param=name,
                code=UNSUPPORTED,
            )


def refuse_members(body: JsonBody, *names: str) -> None:
    """Return if none of these members has a value.

    Raises:
        InvalidRequest: one has.
    """
    for name in names:
        if bytes(body.members.get(name, msgspec.Raw(b"null"))) != b"null":
            raise InvalidRequest(f"'{name}' is not supported here.", param=name, code=UNSUPPORTED)


def _ids(value: object, *, is_tools: bool) -> Iterator[str]:
    """Yield the names of the members that have an id, in `tools` or in `input`."""
    for item in map(mapping, sequence(value)):
        if is_tools:
            yield from _ids_of_tool(item)
        else:
            yield from _ids_of_item(item)


def _ids_of_item(item: Mapping[str, object]) -> Iterator[str]:
    """Yield the ids in an item of the input: of its own, and of the parts of its content or its output."""
    if item.get("type") == "item_reference" or (item.get("type") is None and "role" not in item and item.get("id")):
        yield "an item_reference"
    output = item.get("output")
    parts = [output] if isinstance(output, dict) else sequence(output)
    for part in (item, *map(mapping, sequence(item.get("content"))), *map(mapping, parts)):
        if part.get("file_id"):
            yield "a file_id"


def _ids_of_tool(tool: Mapping[str, object]) -> Iterator[str]:
    """Yield the ids in a tool that the provider runs; a namespace has tools of its own."""
    if tool.get("type") == "namespace":
        yield from _ids(tool.get("tools"), is_tools=True)
        return
    if tool.get("type") in _CLIENTS_TOOLS:
        return
    if isinstance(tool.get("container"), str):
        yield "a container"
    waiting: list[object] = [tool]
    while waiting:
        value = waiting.pop()
        waiting += sequence(value)
        for name, inner in mapping(value).items():
            if name in _OF_TOOLS and inner:
                yield f"a member '{name}'"
            waiting.append(inner)
