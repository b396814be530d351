"""Parameters made from the document: as its schemas say, at their bounds, and wrong on purpose."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from hero_broker.admin_plane.contract import load_document

Schema = Mapping[str, Any]
Values = st.SearchStrategy[Any]

DOCUMENT = load_document()
METHODS: Mapping[str, Any] = {method["name"]: method for method in DOCUMENT["methods"]}
AT = 1_700_000_000  # when the calls of the tests' ledger were made

# What a schema calls a text and the code reads as something: some that it knows, some that are close.
_NETWORKS = ["192.0.2.0/24", "192.0.2.0/29", "2001:db8::/32", "::/0", "0.0.0.0/0", "192.0.2.1/24", "::ffff:0:0/96"]
_ADDRESSES = ["192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:DB8:0::1", "::ffff:192.0.2.1", "unknown", "fe80::1%eth0"]
_KNOWN = {
    "ip": [*_ADDRESSES, "192.0.2.77", "192.0.2.0/24", "[::1]", "01.2.3.4", "1"],
    "prefix": [*_NETWORKS, "192.0.2.1"],
    "target": [*_ADDRESSES, *_NETWORKS],
    "csv": ["192.0.2.1,a", "target;label\n192.0.2.0/24;a\n", "192.0.2.1/24,a", "unknown", '"'],
    "label": ["", "office", "a"],
    "tz": ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Pacific/Apia", "Mars/Base", "Europe", "../UTC"],
    "model": ["model-0", "model-1"],
    "provider": ["groq"],
    "period": ["2023-11", "none"],
    "name": ["machine-month", "server.max_calls", "a", "b"],
    "network": _NETWORKS,
    "reference": ["2023-11", "2023-12", " a"],
    "context": ["", "=1+1"],
}
_TROUBLE = ["\0", "a\0b", "\ud800", "%", "'", '"', "\\", "\u202e", "é", "e\u0301", "\U0001f600", ",", "a,b", " "]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def valid(schema: Schema, name: str = "") -> Values:
    """Return values that a schema allows; `name` is the parameter's or the member's."""
    if "$ref" in schema:
        return valid(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], name)
    if "oneOf" in schema:
        return st.one_of(*(valid(one, name) for one in schema["oneOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "number":
            return st.floats(schema["minimum"], schema["maximum"]) | _integers(schema["minimum"], schema["maximum"])
        case "integer":
            return _integers(schema["minimum"], schema["maximum"])
        case "string":
            return _texts(schema.get("minLength", 0), schema["maxLength"], name)
        case "array":
            unique = schema.get("uniqueItems", False)
            return st.lists(valid(schema["items"]), max_size=schema["maxItems"], unique=unique)
        case "object":
            members = {member: valid(inner, member) for member, inner in schema["properties"].items()}
            return st.fixed_dictionaries({}, optional=members)
    raise AssertionError(schema)


def _integers(least: int, most: int) -> Values:
    near = [st.sampled_from([least, most]), st.integers(least, min(most, least + 20))]
    if least <= AT <= most:
        near.append(st.integers(AT - 100_000, AT + 100_000))
    found = st.one_of(*near, st.integers(least, most))
    return st.one_of(found, found, found.map(float).filter(lambda value: least <= value <= most))


def _texts(shortest: int, longest: int, name: str) -> Values:
    some = [text for text in (*_KNOWN.get(name, ()), *_TROUBLE) if shortest <= len(text) <= longest]
    characters = st.characters() | st.sampled_from("\0\ud800")
    free = st.text(characters, min_size=shortest, max_size=min(longest, 20))
    known = [st.sampled_from(_KNOWN[name])] * 3 if name in _KNOWN else []
    return st.one_of(*known, st.sampled_from(some), free, st.just("a" * longest))


def wrong() -> Values:
    """Return values of which most are not what any schema allows."""
    out_of_bounds = [-1, 2**53, 2**63, 2**64, 10**400, -0.5, 1e300, True]
    return st.one_of(_JSON, st.sampled_from([*out_of_bounds, "", "1", "a" * 10_000, [], {}, [[]], [None] * 1000]))


def cursors(method: str, params: Mapping[str, Any]) -> Values:
    """Return cursors that look like the broker's, of the same query or of another; their positions may be invalid."""
    others = {param["name"]: valid(param["schema"], param["name"]) for param in METHODS[method]["params"]}
    others.pop("cursor", None)
    same = {name: value for name, value in params.items() if value is not None}
    number = st.one_of(st.integers(-(2**63), 2**63), st.integers(0, 2000), st.integers(AT - 100_000, AT + 100_000))
    text = st.sampled_from([*_KNOWN["ip"], *_KNOWN["model"], *_TROUBLE, "a" * 1001])
    shape = {
        "billing.usage_by_ip": st.tuples(number, text),
        "billing.usage": st.tuples(number, number, st.lists(st.none() | text, max_size=2)),
        # Of a listing that is much longer than the ledger a second's worth is read, which is not the same each time.
        "billing.requests": st.tuples(st.integers(-1, 50), st.integers(-1, 50) | st.just(2000)),
    }
    positions = shape[method] | st.lists(st.none() | text, max_size=3)
    frozen = st.just(same) | st.just(same) | st.fixed_dictionaries({}, optional=others)
    cursor = st.fixed_dictionaries({"method": st.just(method), "params": frozen, "position": positions})
    return cursor.map(lambda one: base64.urlsafe_b64encode(json.dumps(one).encode()).decode())


def params_of(method: str) -> Values:
    """Return parameters by name: most as they are allowed, some left out; now and then one is wrong, or unknown."""

    @st.composite
    def draw_params(draw: st.DrawFn) -> dict[str, Any]:
        params = METHODS[method]["params"]
        names = [param["name"] for param in params]
        wrong_one = draw(st.sampled_from([None] * 3 * (len(names) + 1) + names))
        found: dict[str, Any] = {}
        for param in params:  # a cursor is the last but for what is seldom given
            name = param["name"]
            if name == wrong_one:
                found[name] = draw(wrong())
            elif draw(st.sampled_from([True] * (9 if param["required"] else 1) + [False])):
                found[name] = draw(cursors(method, found) if name == "cursor" else valid(param["schema"], name))
        if draw(st.integers(0, 20)) == 20:
            found[draw(st.text(max_size=5))] = 1
        return found

    return draw_params()


def params_by_url(method: str) -> Values:
    """Return parameters by name such as a URL can say, too: without null and lone surrogates, numbers as digits."""

    @st.composite
    def draw_params(draw: st.DrawFn) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for param in METHODS[method]["params"]:
            name, schema = param["name"], param["schema"]
            if not param["required"] and draw(st.booleans()):
                continue
            allowed = cursors(method, found) if name == "cursor" else valid(schema, name)
            chosen = _by_url(draw(st.one_of(allowed, allowed, allowed, _wrong_by_url(schema))))
            if param["required"] and isinstance(chosen, str) and ("/" in chosen or not chosen.strip(".")):
                chosen = "1"  # a part of a path has no slash, and of dots alone it means another
            if chosen is not None and chosen != {}:
                found[name] = chosen
        if draw(st.integers(0, 20)) == 20:
            found["page"] = "2"
        return found

    return draw_params()


def _wrong_by_url(schema: Schema) -> Values:
    kind = schema.get("oneOf", [schema])[0].get("type")
    if kind == "array":
        return st.sampled_from([["day"], ["ip", "ip"], ["", ""], ["ip", "model", "day"]])
    if kind == "integer":
        return st.sampled_from([2**53, 10**15, 10**17, "-1", "1.5", "+5", "1e3", " 5", "1_000", "\u0663", "", "a"])
    return st.sampled_from(["a" * 8001, "fortnight", "1", "yes"]) if kind in ("string", "boolean") else st.just({})


def _by_url(value: Any) -> Any:
    """Return what a URL can say in the place of a value."""
    if isinstance(value, dict):
        return {name: _by_url(one) for name, one in value.items() if one is not None}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return int(value) if isinstance(value, float) else value
