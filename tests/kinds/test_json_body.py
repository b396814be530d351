"""JSON bodies: what clients may not set is not there, in whatever letters."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.json_body import (
    ARRAY,
    CACHED_NAMES,
    COPIED_BYTES,
    DROPPED_KEYS,
    OBJECT,
    STRING,
    read_json,
)
from hero_broker.kinds.wide_json import MAX_VALUES


def body(*members: str) -> bytes:
    return ("{" + ",".join(('"model":"m"', *members)) + "}").encode()


@pytest.mark.parametrize(
    ("member", "param"),
    [
        ('"Model":"n"', "Model"),
        ('"MODEL":null', "MODEL"),
        ('"\\u004dodel":"n"', "Model"),
        ('"API_BASE":"http://evil"', "API_BASE"),
        ('"api_\\u212aey":"k"', "api_\u212aey"),  # the sign of Kelvin, which folds to a k
        ('"u\u017fer_config":{}', "u\u017fer_config"),  # the long s
        ('"Stream":true', "Stream"),
        ('"Stream_options":{}', "Stream_options"),
        ('"input":"a","Input":"much more"', "Input"),
        ('"Messages":[],"messages":[]', "messages"),
    ],
)
def test_member_that_differs_from_another_in_case_alone_is_refused(member: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(body(member))

    assert caught.value.param == param


def test_model_alone_in_other_letters_is_missing() -> None:
    with pytest.raises(InvalidRequest, match="'model'"):
        read_json(b'{"Model":"m"}')


def test_member_that_comes_twice_is_sent_once() -> None:
    request = read_json(body('"model":"n"', '"x":1', '"x":2'))

    assert request.model == "n"
    assert request.encode(model="upstream") == b'{"model":"upstream","x":2}'


def test_what_clients_may_not_set_is_left_out_and_all_else_kept() -> None:
    dropped = [f'"{name}":"x"' for name in DROPPED_KEYS]

    sent = read_json(body(*dropped, '"Temperature":1e400', '"größe":"ü"')).encode(model="upstream", stream_options={})

    assert sent == '{"model":"upstream","Temperature":1e400,"größe":"ü","stream_options":{}}'.encode()


@pytest.mark.parametrize("value", [b'"\xff"', b'{"a":["\xc3"]}', b'"\xed\xa0\x80"', b'"\xc0\xaf"'])
def test_bytes_that_are_no_utf8_are_refused_in_a_member_that_is_not_read(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read_json(b'{"model":"m","x":%s}' % value)


def test_text_in_utf8_passes_as_it_is() -> None:
    text = {"model": "m", "x": "Grüße aus 東京 🙂"}

    sent = read_json(json.dumps(text, ensure_ascii=False).encode()).encode(model="m")

    assert json.loads(sent) == text


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "The body is not valid JSON: it breaks off, or an escape in it does."),
        (b'{"model":"m"', "The body is not valid JSON: it breaks off, or an escape in it does."),
        (b'{"model":"m"}}', "The body is not valid JSON: trailing characters (byte 14)."),
        (b'{"model":NaN}', "The body is not valid JSON: invalid character (byte 9)."),
        (b"[]", "The body must be a JSON object."),
        (b"null", "The body must be a JSON object."),
        (b'"model"', "The body must be a JSON object."),
        (b"[" * 100_000, "The body must be a JSON object."),
        (b'{"model":' + b"[" * 100_000, "The body is nested too deeply."),
        (b'{"model":"m","x":"\xff"}', "The body must be in UTF-8; it is not at byte 18."),
    ],
)
def test_body_that_is_no_json_object_is_refused(sent: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(sent, "default")

    assert caught.value.message == message


@pytest.mark.parametrize("model", [b'""', b"7", b"[]", b"{}", b"true"])
def test_wrong_model_is_refused_even_if_there_is_a_default(model: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(b'{"model":%s}' % model, "default")

    assert caught.value.param == "model"


def test_model_in_half_characters_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="an escape in it"):
        read_json(b'{"model":"\\ud83d"}')


@given(text=st.binary() | st.sampled_from([b"\\ud83d", b"\\ude00", b"\\ud83d\\u0041", b"\\x", b"\xed\xa0\x80"]))
def test_any_string_of_a_body_that_was_read_can_be_decoded(text: bytes) -> None:
    try:
        read = read_json(b'{"model":"m","x":"%s."}' % text)
    except InvalidRequest:
        return
    assert read.string("x").endswith(".")


@pytest.mark.parametrize("sent", [b"{}", b'{"model":null}'])
def test_default_model_is_used_only_if_there_is_one(sent: bytes) -> None:
    assert read_json(sent, "default").model == "default"
    with pytest.raises(InvalidRequest, match="'model'"):
        read_json(sent)


MEMBERS = (
    *('"s": "a"', '"e": ""', '"a": [1]', '"o": {"k": 1}', '"n": null'),
    *('"t": true', '"f": false', '"i": 7', '"x": {"k": 1e999}'),
)


@pytest.mark.parametrize(
    ("name", "types", "raw", "message"),
    [
        ("s", (STRING,), b'"a"', None),
        ("a", (STRING, ARRAY), b"[1]", None),
        ("o", (OBJECT,), b'{"k": 1}', None),
        ("s", (ARRAY,), None, "'s' must be an array."),
        ("i", (STRING, OBJECT), None, "'i' must be a string or an object."),
        ("n", (STRING,), None, "'n' must be a string."),
        ("z", (STRING,), None, "'z' is missing."),
    ],
)
def test_required_member_has_one_of_the_types(
    name: str, types: tuple[int, ...], raw: bytes | None, message: str | None
) -> None:
    read = read_json(body(*MEMBERS))
    if message is None:
        assert bytes(read.require(name, *types)) == raw
    else:
        with pytest.raises(InvalidRequest, match=f"^{message}$"):
            read.require(name, *types)


def test_string_is_decoded_and_not_empty() -> None:
    read = read_json(body(*MEMBERS))

    assert read.string("s") == "a"
    for name, message in (("e", "non-empty"), ("i", "string"), ("z", "missing")):
        with pytest.raises(InvalidRequest, match=message):
            read.string(name)


def test_boolean_is_false_unless_it_is_true() -> None:
    read = read_json(body(*MEMBERS))

    assert [read.boolean(name) for name in "tfnz"] == [True, False, False, False]
    for name in "sio":
        with pytest.raises(InvalidRequest, match="true or false"):
            read.boolean(name)


def test_object_is_empty_unless_it_is_one() -> None:
    read = read_json(body(*MEMBERS))

    assert [read.json_object(name) for name in "onz"] == [{"k": 1}, {}, {}]
    for name, message in (("a", "an object"), ("s", "an object"), ("x", "valid JSON")):
        with pytest.raises(InvalidRequest, match=message):
            read.json_object(name)


PAD = "x" * COPIED_BYTES
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["messages", "stream", "temperature", "api_key", "größe", 'a"b', "é\n", "a", ""])
MODELS = st.sampled_from(["m", "ünï", 'q"', "ab", "\U0001f642"])


@st.composite
def long_bodies(draw: st.DrawFn) -> bytes:
    """A long object, written as clients may: with and without spaces, escapes and members that come twice."""
    members = draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))
    members.insert(draw(st.integers(0, len(members))), ("model", draw(MODELS | st.none())))
    members.append(("pad", PAD))
    colon, comma, edge = (draw(st.sampled_from(choices)) for choices in ((":", ": "), (",", ", ", " ,"), ("", "\n")))
    in_ascii = draw(st.booleans())
    written = (
        json.dumps(name, ensure_ascii=in_ascii)
        + colon
        + json.dumps(value, ensure_ascii=in_ascii, separators=(",", ":"))
        for name, value in members
    )
    return f"{edge}{{{edge}{comma.join(written)}{edge}}}{edge}".encode()


@given(sent=long_bodies(), model=MODELS)
def test_long_body_is_sent_as_if_it_was_encoded(sent: bytes, model: str) -> None:
    try:
        read = read_json(sent, "ab")
    except InvalidRequest:
        return
    members = {**read.members, "model": model}
    encoded = msgspec.json.encode({name: raw for name, raw in members.items() if name not in DROPPED_KEYS})

    assert read.encode(model=model) == encoded


@pytest.mark.parametrize(
    ("member", "is_copied"),
    [
        pytest.param('"x":{"a": [1, 2]}', False, id="nothing changes"),
        pytest.param('"x": 1', True, id="a space"),
        pytest.param('"x":1,"x":1', True, id="a member twice"),
        pytest.param('"\\u0078":1', True, id="an escape in a name"),
        pytest.param('"api_key":"k"', True, id="a member that is dropped"),
    ],
)
def test_long_body_is_copied_only_if_it_changes(member: str, is_copied: bool) -> None:
    sent = body(f'"pad":"{PAD}"', member)
    read = read_json(sent)

    assert (read.encode(model="m") is not sent) is is_copied
    assert read.encode(model="other") is not sent
    assert read.encode(model="m", stream_options={}) is not sent


def test_names_are_checked_however_often_and_however_many_come() -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="only in case"):
            read_json(body('"input":1', '"Input":1'))

    many = [f'"{number}":0' for number in range(CACHED_NAMES + 1)]
    with pytest.raises(InvalidRequest, match="only in case"):
        read_json(body(*many, '"API_KEY":"k"'))
    assert b"api_key" not in read_json(body(*many, '"api_key":"k"')).encode(model="m")


@pytest.mark.parametrize(("values", "is_accepted"), [(MAX_VALUES, True), (MAX_VALUES + 1, False)])
def test_object_with_very_many_values_is_refused(values: int, is_accepted: bool) -> None:
    read = read_json(body(f'"o":{{"a":[{"1," * (values - 2)}1]}}'))

    if is_accepted:
        assert read.json_object("o").keys() == {"a"}
    else:
        with pytest.raises(InvalidRequest, match="'o' must have at most 100,000 values"):
            read.json_object("o")
