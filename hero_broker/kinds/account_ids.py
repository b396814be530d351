"""Refuses requests that name what belongs to the operator's account at a provider, and so to no single caller.

Files, containers and stored items have ids; a caller who knows another caller's id could read what it names.
"""

import re
from collections.abc import Callable, Iterator, Mapping

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
    """Return if these members of a request of Responses name no file, container or stored item.

    Raises:
        InvalidRequest: they name one, or have too many values to be read.
    """
    for name in names:
        _refuse(body, name, _ids_of_tools if name == "tools" else _ids_of_input)


def refuse_message_ids(body: JsonBody) -> None:
    """Return if a request of Messages names no file, and no container or skill of the account.

    Raises:
        InvalidRequest: it names one, or has too many values to be read.
    """
    _refuse(body, "container", _ids_of_container)
    _refuse(body, "messages", _ids_of_messages)


def _refuse(body: JsonBody, name: str, search: Callable[[object], Iterator[str]]) -> None:
    """Return if `search` finds no id in a member.

    Raises:
        InvalidRequest: it finds one, or the member has too many values to be read.
    """
    raw = body.members.get(name)
    if raw is None or (name != "container" and _MAY_NAME_IDS.search(raw) is None):
        return
    if is_wide(bytes(raw)):
        raise InvalidRequest(f"'{name}' has too many values to be searched for ids of files.", param=name)
    for found in search(load(bytes(raw))):
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


def _ids_of_input(value: object) -> Iterator[str]:
    """Yield the names of the members of `input` that have an id."""
    for item in map(mapping, sequence(value)):
        yield from _ids_of_item(item)


def _ids_of_tools(value: object) -> Iterator[str]:
    """Yield the names of the members of `tools` that have an id."""
    for tool in map(mapping, sequence(value)):
        yield from _ids_of_tool(tool)


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
        yield from _ids_of_tools(tool.get("tools"))
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


def _ids_of_container(container: object) -> Iterator[str]:
    """Yield the names of the ids of Anthropic's `container`: its own, and those of skills that are not Anthropic's."""
    if container is not None and (not isinstance(container, dict) or container.get("id") is not None):
        yield "the id of a container"
    for skill in map(mapping, sequence(mapping(container).get("skills"))):
        if skill.get("type") != "anthropic":
            yield "a skill_id"


def _ids_of_messages(messages: object) -> Iterator[str]:
    """Yield the names of the ids of files in the blocks of messages, and in the blocks of the results of tools."""
    waiting = [mapping(message).get("content") for message in sequence(messages)]
    while waiting:
        for block in map(mapping, sequence(waiting.pop())):
            source = mapping(block.get("source"))
            if block.get("file_id") or source.get("file_id"):
                yield "a file_id"
            waiting += [block.get("content"), source.get("content")]
