"""The client says what the document says: the same methods, parameters and answers."""

import inspect
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from hero_broker.admin_plane.contract import load_document
from hero_broker.client import AsyncClient, Client, Query, methods, models
from hero_broker.client.sync_methods import SyncMethods

DOCUMENT = load_document()
METHODS = {method["name"]: method for method in DOCUMENT["methods"]}
OF_PARAMETERS = ("Filter", "LimitSubjectValues")  # schemas that no answer has


def same(query: Query[Any]) -> Any:
    """Stand for a client that sends nothing."""
    return query


def methods_of(client: object) -> dict[str, Callable[..., Any]]:
    """Return the methods of a client by their documented names."""
    return {
        f"{group}.{name}": method
        for group, methods_of_group in vars(client).items()
        if not group.startswith("_")
        for name, method in inspect.getmembers(methods_of_group, inspect.ismethod)
        if not name.startswith("_")
    }


QUERIES = methods_of(SyncMethods(same))


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_both_clients_have_the_documented_methods_and_parameters(client: type[Client] | type[AsyncClient]) -> None:
    ours = methods_of(client())

    assert ours.keys() == METHODS.keys()
    for name, function in ours.items():
        takes = [(one.name, one.default is one.empty) for one in inspect.signature(function).parameters.values()]
        assert takes == [(param["name"], param.get("required", False)) for param in METHODS[name]["params"]], name


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_method_shows_its_answer_and_the_meaning_of_its_parameters(client: type[Client] | type[AsyncClient]) -> None:
    for name, method in methods_of(client()).items():
        words = " ".join(inspect.getdoc(method).split())  # type: ignore[union-attr]
        described = [METHODS[name]["summary"], *(param["description"] for param in METHODS[name]["params"])]
        assert [text for text in described if text not in words] == []
        assert inspect.signature(method).return_annotation == QUERIES[name](**required_of(name)).answer
        assert inspect.iscoroutinefunction(method) is (client is AsyncClient)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name]["params"]])
def test_questions_carry_parameters_under_their_documented_names(name: str) -> None:
    for example in METHODS[name]["examples"]:
        given = {param["name"]: param["value"] for param in example["params"]}

        question = QUERIES[name](**given)

        assert question.method == name
        assert question.params == {param: value for param, value in given.items() if value is not None}


@pytest.mark.parametrize("name", METHODS)
def test_documented_answers_are_understood(name: str) -> None:
    question = QUERIES[name](**required_of(name))

    for example in METHODS[name]["examples"]:
        answer = msgspec.json.decode(msgspec.json.encode(example["result"]["value"]), type=question.answer)
        assert answer


@pytest.mark.parametrize("name", [name for name in DOCUMENT["components"]["schemas"] if name not in OF_PARAMETERS])
def test_answers_have_the_fields_and_types_of_their_schema(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    struct = getattr(models, name)
    hints = get_type_hints(struct)

    assert issubclass(struct, msgspec.Struct)
    fields = msgspec.structs.fields(struct)
    assert {field.name for field in fields} == hints.keys()
    assert {field.encode_name for field in fields} == schema["properties"].keys()
    for field in fields:
        assert field.required is (field.name in schema.get("required", ())), field.name
        documented = set(types_of(schema["properties"][field.encode_name]))
        if not field.required:
            documented.add(type(None))
        assert ours(hints[field.name]) == documented, field.name


def test_filter_has_the_members_of_its_schema() -> None:
    documented = DOCUMENT["components"]["schemas"]["Filter"]["properties"]

    assert get_type_hints(methods.QueryFilter).keys() == documented.keys()


@pytest.mark.parametrize(
    ("name", "param"), [("Dimension", "group_by"), ("Bucket", "bucket")], ids=["dimensions", "buckets"]
)
def test_choices_are_the_documented_ones(name: str, param: str) -> None:
    schema = next(one["schema"] for one in METHODS["billing.usage"]["params"] if one["name"] == param)
    listed = schema["items"]["enum"] if "items" in schema else schema["oneOf"][0]["enum"]

    assert list(get_args(getattr(methods, name))) == listed


def required_of(name: str) -> dict[str, str]:
    return {param["name"]: "x" for param in METHODS[name]["params"] if param["required"]}


def types_of(schema: dict[str, Any]) -> Iterator[object]:
    """Yield the types that a schema's values have here: arrays by their items, numbers by what they count."""
    if "oneOf" in schema:
        for one in schema["oneOf"]:
            yield from types_of(one)
    elif "$ref" in schema:
        yield getattr(models, schema["$ref"].rpartition("/")[2])
    elif schema["type"] == "array":
        yield (tuple, *types_of(schema["items"]))
    else:
        plain = {"integer": int, "string": str, "boolean": bool, "null": type(None), "number": Decimal, "object": dict}
        yield plain[schema["type"]]


def ours(hint: Any) -> set[object]:
    """Return the same of an annotation; a float counts as a number."""
    found: set[object] = set()
    for one in get_args(hint) if isinstance(hint, types.UnionType) or get_origin(hint) is Union else (hint,):
        if get_origin(one) is tuple:
            found.add((tuple, *ours(get_args(one)[0])))
        else:
            found.add(get_origin(one) or {float: Decimal}.get(one, one))
    return found
