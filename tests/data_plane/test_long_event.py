"""A long event keeps its bytes, and its outline says the same as it does."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.data_plane.long_event import KEPT_BYTES, MIN_LONG_BYTES, LongEvent
from hero_broker.data_plane.sse import EventSplitter, event_data

TEXTS = st.text(st.sampled_from('a"\\\n\u00e9\U0001f600{}[]:,'), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.builds(lambda text: text * 120, TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def long_event(data: bytes, sizes: list[int]) -> LongEvent:
    event, at, turn = LongEvent(b""), 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        event.add(data[at : at + size])
        at, turn = at + size, turn + 1
    return event


def check_same_but_for_long_strings(value: Any, outlined: Any) -> None:
    assert type(value) is type(outlined)
    if isinstance(value, dict):
        assert list(value) == list(outlined)
        for name in value:
            check_same_but_for_long_strings(value[name], outlined[name])
    elif isinstance(value, list):
        assert len(value) == len(outlined)
        for one, other in zip(value, outlined, strict=True):
            check_same_but_for_long_strings(one, other)
    elif isinstance(value, str) and len(json.dumps(value)) > KEPT_BYTES:
        assert len(outlined) <= len(value)
    else:
        assert value == outlined


@settings(deadline=None)
@given(VALUES, st.lists(st.sampled_from([1, 2, 3, 5, 7, 100, 5000, 70_000]), min_size=1, max_size=5), st.booleans())
def test_the_outline_is_the_same_json_but_for_long_strings(value: Any, sizes: list[int], is_ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=is_ascii).encode()
    event = long_event(data, sizes)

    assert event.whole() == data
    check_same_but_for_long_strings(value, msgspec.json.decode(event.outline()))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("iVBORw0KGgo" * 400_000, id="base64"),
        pytest.param('say \\"hi\\"\\n\\u00e9' * 250_000, id="text-with-escapes"),
        pytest.param("\u00e9\U0001f600" * 800_000, id="not-ascii"),
        pytest.param("\u6f22" * 1_000_000, id="three-bytes"),
        pytest.param("\\ud83d\\ude00" * 300_000, id="escaped-surrogates"),
        pytest.param("\\\\ud83d" * 500_000, id="escaped-backslashes"),
    ],
)
@pytest.mark.parametrize("size", [1_000, 65_536, 1_000_003])
def test_the_outline_of_megabytes_is_short(image: str, size: int) -> None:
    data = b'event: e\ndata: {"a":"%s","usage":{"n":1},"b":["x"]}\n\n' % image.encode()
    event = long_event(data, [size])

    outline = event.outline()

    assert event.whole() == data
    assert len(outline) < max(KEPT_BYTES * len(event.pieces), size) + 2 * KEPT_BYTES
    assert msgspec.json.decode(event_data(outline)) | {"a": ""} == {
        "a": "",
        "usage": {"n": 1},
        "b": ["x"],
    }


@pytest.mark.parametrize("size", [61, 4096, 100_000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\r\n"])
def test_a_long_event_among_others(size: int, end: bytes) -> None:
    before, after = b"data: 1" + end, b"data: 2" + end
    long = b'data: {"a":"' + b"x" * (2 * MIN_LONG_BYTES) + b'"}' + end
    stream, splitter, found = before + long + after + b"rest", EventSplitter(1 << 30), []
    for at in range(0, len(stream), size):
        found += splitter.feed(stream[at : at + size])

    whole = [event.whole() if isinstance(event, LongEvent) else event for event in found]
    assert whole == [before, long, after]
    assert isinstance(found[1], LongEvent) is (size < MIN_LONG_BYTES)
    assert splitter.rest() == b"rest"
