"""What chats and text completions have in common."""

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Framing, Kind
from hero_broker.kinds.text_streams import UNDECLARED_TYPES, TextStreamKind

TEXT_STREAM = TextStreamKind()


@pytest.mark.parametrize(
    ("options", "wants_usage"),
    [(b"null", False), (b"{}", False), (b'{"include_usage":true}', True), (b'{"include_usage":"true"}', False)],
)
def test_client_wants_usage_only_if_it_says_true(options: bytes, wants_usage: bool) -> None:
    body = read_json(b'{"model":"m","stream":true,"text":[1],"stream_options":%s}' % options)

    request = TEXT_STREAM.text_request(body, 3)

    assert (request.stream, request.wants_usage, request.input_bytes, request.body) == (True, wants_usage, 3, body)


@pytest.mark.parametrize(
    ("member", "param"),
    [
        (b'"stream":0', "stream"),
        (b'"stream_options":1', "stream_options"),
        (b'"stream_options":{"a":1e999}', "stream_options"),
    ],
)
def test_wrong_option_is_named(member: bytes, param: str) -> None:
    body = read_json(b'{"model":"m","text":[],%s}' % member)

    with pytest.raises(InvalidRequest) as caught:
        TEXT_STREAM.text_request(body, 3)

    assert caught.value.param == param


@pytest.mark.parametrize("content_type", UNDECLARED_TYPES)
def test_only_a_stream_may_lack_its_type(content_type: str) -> None:
    assert TEXT_STREAM.framing(content_type, is_stream=True) is Framing.EVENTS
    assert TEXT_STREAM.framing(content_type, is_stream=False) is Framing.WHOLE
    assert Kind().framing(content_type, is_stream=True) is Framing.WHOLE
