"""JSON bodies: what clients may not set is not there, in whatever letters."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.json_body import DROPPED_KEYS, read_json


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
