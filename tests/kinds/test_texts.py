"""What a model read and wrote: the rules of each kind, and bodies of every shape."""

import base64
import json
import struct
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.kinds.attachments import FILE_TOKENS_MAX, UNSEEN_FILE_TOKENS, UNSEEN_IMAGE_TOKENS
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.texts import Reading
from hero_broker.kinds.wide_json import MAX_VALUES
from hero_broker.pricing.price import Price

ONE_MESSAGE = 3 + 4  # priming and framing


def body(**members: object) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def chat(*content: object) -> Reading:
    messages = [{"role": "user", "content": item} for item in content]
    return KINDS["chat"].request_reading(body(messages=messages))


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(**image_url: object) -> list[dict[str, object]]:
    return [{"type": "image_url", "image_url": image_url}]


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(500)


def jpeg(width: int, height: int, metadata: int = 0, marker: int = 0xC0) -> bytes:
    segment = b"\xff\xe1" + struct.pack(">H", 2 + metadata) + bytes(metadata)
    table = b"\xff\xc4" + struct.pack(">H", 5) + b"abc"
    frame = b"\xff" + bytes([marker]) + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + segment + table + b"\xff" + frame + bytes(500)


def wav(seconds: float, bytes_per_s: int = 48_000, extra: bytes = b"") -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, bytes_per_s // 2, bytes_per_s, 2, 16)
    # A recorder that streams does not know its length.
    return b"RIFF\xff\xff\xff\xffWAVE" + extra + form + b"data\xff\xff\xff\xff" + bytes(int(seconds * bytes_per_s))


def audio(data: bytes) -> list[dict[str, object]]:
    return [{"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}]


def test_messages_are_framed_and_the_reply_is_primed() -> None:
    reading = chat("one", "two")

    assert reading == Reading(("one", "two"), 3 + 4 + 4)


def test_a_name_is_read_and_framed() -> None:
    reading = KINDS["chat"].request_reading(body(messages=[{"role": "user", "name": "Ada", "content": "hi"}]))

    assert reading == Reading(("hi", "Ada"), ONE_MESSAGE + 1)


def test_parts_of_a_message_are_read() -> None:
    reading = chat([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, {"type": "odd"}])

    assert reading == Reading(("a", "b"), ONE_MESSAGE)


def test_calls_and_reasoning_of_earlier_turns_are_read() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "why",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g", "arguments": "[]"}}],
        "function_call": {"name": "h", "arguments": "1"},
    }

    reading = KINDS["chat"].request_reading(body(messages=[message]))

    assert sorted(reading.texts) == sorted(["why", "f", "{}", "g", "[]", "h", "1"])


def test_definitions_are_read_as_compact_json() -> None:
    spaced = b'{"messages": [], "tools": [ {"name": "\\u00fc"} ], "response_format": {"type" : "text"}, "n": 1}'

    reading = KINDS["chat"].request_reading(spaced)

    assert reading.texts == ('[{"name":"ü"}]', '{"type":"text"}')


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        pytest.param(1024, 1024, 765, id="OpenAI's first example"),
        pytest.param(2048, 4096, 1105, id="OpenAI's second example"),
        pytest.param(512, 512, 255, id="one tile"),
        pytest.param(1, 1, 255, id="not scaled up"),
        pytest.param(4_000_000_000, 1, 765, id="a line"),
        pytest.param(0, 10, UNSEEN_IMAGE_TOKENS, id="no size"),
    ],
)
@pytest.mark.parametrize("detail", ["high", "auto"])
def test_an_image_costs_its_tiles(width: int, height: int, tokens: int, detail: str) -> None:
    assert chat(image(url=data_url(png(width, height)), detail=detail)).fixed_tokens == ONE_MESSAGE + tokens


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(2048, 4096), id="baseline"),
        pytest.param(jpeg(2048, 4096, marker=0xC2), id="progressive"),
        pytest.param(jpeg(2048, 4096, metadata=60_000), id="metadata"),
    ],
)
def test_size_of_a_jpeg_is_found_behind_its_metadata(data: bytes) -> None:
    assert chat(image(url=data_url(data, "image/jpeg"))).fixed_tokens == ONE_MESSAGE + 1105


def test_low_detail_has_one_price() -> None:
    assert chat(image(url=data_url(png(4096, 8192)), detail="low")).fixed_tokens == ONE_MESSAGE + 85


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        data_url(b"GIF89a"),
        data_url(png(9, 9)[:20]),
        data_url(jpeg(9, 9)[:12]),
        "data:,ü",
        None,
        7,
    ],
)
def test_an_image_that_is_not_seen_has_the_usual_size(url: object) -> None:
    assert chat(image(url=url)).fixed_tokens == ONE_MESSAGE + UNSEEN_IMAGE_TOKENS


def test_an_image_may_be_a_bare_address() -> None:
    part = {"type": "image_url", "image_url": data_url(png(512, 512))}

    assert chat([part]).fixed_tokens == ONE_MESSAGE + 255


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        pytest.param(wav(2.5), 25, id="wav"),
        pytest.param(wav(2.51), 26, id="rounded up"),
        pytest.param(wav(1, 192_000, b"LIST\x03\0\0\0abc\0"), 10, id="chunk of odd length before the format"),
        pytest.param(bytes(16_000), 10, id="other format"),
        pytest.param(wav(0), 0, id="silent"),
        pytest.param(wav(1, 0) + bytes(15_956), 10, id="wav without a rate"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_audio_costs_ten_tokens_a_second(data: bytes, tokens: int) -> None:
    assert chat(audio(data)) == Reading((), ONE_MESSAGE, tokens)


@pytest.mark.parametrize(
    ("file", "tokens"),
    [
        ({"file_data": data_url(bytes(3000), "application/pdf")}, 750),
        ({"file_data": data_url(bytes(3_000_000), "application/pdf")}, FILE_TOKENS_MAX),
        ({"file_id": "file-1"}, UNSEEN_FILE_TOKENS),
        ("odd", 0),
    ],
)
def test_a_file_costs_its_size_up_to_a_bound(file: object, tokens: int) -> None:
    assert chat([{"type": "file", "file": file}]).fixed_tokens == ONE_MESSAGE + tokens


@pytest.mark.parametrize(
    ("given_", "reading"),
    [
        ("one", Reading(("one",))),
        (["one", "two"], Reading(("one", "two"))),
        ([1, 2, 3], Reading((), 3)),
        ([[1, 2], [3]], Reading((), 3)),
        ([{"text": "one"}, {"image": "x"}], Reading(("one",))),
        ([True, None, 1.5], Reading()),
    ],
)
def test_input_to_embed_is_text_or_token_ids(given_: object, reading: Reading) -> None:
    assert KINDS["embedding"].request_reading(body(input=given_)) == reading
    assert KINDS["completion"].request_reading(body(prompt=given_)) == reading


def test_suffix_of_a_completion_is_read() -> None:
    assert KINDS["completion"].request_reading(body(prompt="a", suffix="b")).texts == ("a", "b")


def test_query_is_read_with_each_document() -> None:
    documents = ["one", {"text": "two"}, {"title": "ü"}]

    reading = KINDS["rerank"].request_reading(body(query="q", documents=documents))

    assert reading.texts == ("q", "q", "q", "one", "two", '{"title": "ü"}')


def test_query_alone_is_read() -> None:
    assert KINDS["rerank"].request_reading(body(query={"text": "q"}, documents=[])).texts == ("q",)


def test_text_to_speak_is_read_with_its_instructions() -> None:
    assert KINDS["tts"].request_reading(body(input="hello", instructions="softly")).texts == ("hello", "softly")


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("sent", [b"", b"[]", b"nonsense", b"\xff", b"null", b'{"messages"'])
def test_what_is_no_json_object_has_nothing_to_read(kind: str, sent: bytes) -> None:
    assert KINDS[kind].request_reading(sent) == Reading()


def test_an_upload_has_nothing_to_read() -> None:
    assert KINDS["stt"].request_reading(body(input="x")) == Reading()


def test_a_number_out_of_range_hides_nothing() -> None:
    reading = KINDS["chat"].request_reading(b'{"messages":[{"content":"text","n":1e999}],"tools":[1e999]}')

    assert reading == Reading(("text", "[1e999]"), ONE_MESSAGE)


def test_a_deep_document_does_not_hide_the_query() -> None:
    lengths = set()
    for depth in range(800, 1100):
        document = b'{"a":' * depth + b"1" + b"}" * depth
        reading = KINDS["rerank"].request_reading(b'{"query":"q","documents":[' + document + b"]}")
        lengths.add(len(reading.texts))

    # Read, without the document, and refused as no JSON at all.
    assert lengths == {2, 1, 0}


NAMES = (
    *("content", "text", "type", "image_url", "url", "detail", "input_audio", "data", "file", "file_data", "name"),
    *("tool_calls", "function", "index", "function_call", "arguments", "message", "delta", "choices", "reasoning"),
    *("audio", "transcript", "refusal"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
        )
    ),
    max_leaves=20,
)


@given(value=JSON, kind=st.sampled_from(sorted(KINDS)))
def test_any_shape_is_read(value: Any, kind: str) -> None:
    members = dict.fromkeys(("messages", "input", "prompt", "suffix", "query", "documents", "tools"), value)
    answer = {"choices": value, "delta": value, "text": value}
    for data in (json.dumps(members).encode(), json.dumps({"messages": [value]}).encode(), json.dumps(value).encode()):
        reading = KINDS[kind].request_reading(data)
        assert reading.fixed_tokens >= 0
        assert reading.audio_tokens >= 0
        assert all(reading.texts)
    for data in (json.dumps(answer).encode(), json.dumps({"choices": [value, value]}).encode()):
        assert all(KINDS[kind].delivered_text(data))
        assert all(KINDS[kind].delivered_events(data + b"\n" + data))


@given(data=st.binary(), kind=st.sampled_from(sorted(KINDS)))
def test_any_bytes_are_read(data: bytes, kind: str) -> None:
    assert isinstance(KINDS[kind].request_reading(data), Reading)
    assert all(KINDS[kind].delivered_text(data))
    assert all(KINDS[kind].delivered_events(data))
    for part in (image(url=data_url(b"\xff\xd8" + data)), image(url=data_url(data)), audio(b"RIFF1234WAVE" + data)):
        assert chat(part).fixed_tokens >= ONE_MESSAGE


def test_a_whole_answer_is_all_that_was_written() -> None:
    message = {
        "content": "text",
        "reasoning_content": "thought",
        "refusal": "no",
        "audio": {"transcript": "spoken"},
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    answer = {"choices": [{"index": 0, "message": message}, {"index": 1, "message": {"content": [{"text": "two"}]}}]}

    written = KINDS["chat"].delivered_text(json.dumps(answer).encode())

    assert written == ("text", "thought", "no", "spoken", "f", "{}", "two")


def test_reasoning_under_two_names_is_written_once() -> None:
    answer = b'{"choices":[{"message":{"content":"a","reasoning":"b","reasoning_content":"b"}}]}'

    assert KINDS["chat"].delivered_text(answer) == ("a", "b")


def test_a_completion_is_its_text() -> None:
    assert KINDS["completion"].delivered_text(b'{"choices":[{"text":"a"},{"text":"b"}]}') == ("a", "b")


def test_a_transcript_may_be_json_or_plain() -> None:
    assert KINDS["stt"].delivered_text(b'{"text":"spoken"}') == ("spoken",)
    assert KINDS["stt"].delivered_text("gesprochen, hörst du".encode()) == ("gesprochen, hörst du",)
    assert KINDS["stt"].delivered_text(b"42") == ("42",)


@pytest.mark.parametrize("kind", ["embedding", "rerank", "tts"])
def test_what_kinds_without_text_write_is_not_counted(kind: str) -> None:
    by_token = Price(input_per_million=Decimal(1), output_per_million=Decimal(1))

    assert not KINDS[kind].writes_tokens(None)
    assert not KINDS[kind].writes_tokens(by_token)


def test_deltas_of_a_stream_are_joined_by_choice_and_place() -> None:
    deltas: list[dict[str, object]] = [
        {"index": 0, "delta": {"role": "assistant", "content": ""}},
        {"index": 0, "delta": {"reasoning": "th"}},
        {"index": 0, "delta": {"reasoning": "ought"}},
        {"index": 0, "delta": {"content": "one "}},
        {"index": 1, "delta": {"content": "two"}},
        {"index": 0, "delta": {"content": "word"}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":'}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"name": "g", "arguments": "{}"}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}},
        {"index": 0, "delta": {"audio": {"transcript": "spoken"}}},
    ]
    events = b"\n".join(json.dumps({"choices": [delta]}).encode() for delta in deltas)

    written = KINDS["chat"].delivered_events(events + b'\n{"choices":[],"usage":null}\n{broken\n[DONE]')

    assert written == ("thought", "one word", "two", "f", '{"a":1}', "g", "{}", "spoken")


def test_halves_of_a_character_in_two_deltas_are_written() -> None:
    events = b'{"choices":[{"text":"\\ud83d"}]}\n{"choices":[{"text":"\\ude00"}]}'

    assert KINDS["completion"].delivered_events(events) == ("\ud83d\ude00",)


def test_an_answer_that_is_nested_too_deep_has_no_text() -> None:
    assert KINDS["chat"].delivered_text(b"[" * 100_000 + b"]" * 100_000) == ()


def test_texts_of_a_completions_stream_are_joined() -> None:
    assert KINDS["completion"].delivered_events(b'{"choices":[{"text":"a"}]}\n{"choices":[{"text":"b"}]}') == ("ab",)


def test_end_of_a_transcript_does_not_repeat_it() -> None:
    deltas = b'{"type":"transcript.text.delta","delta":"a "}\n{"type":"transcript.text.delta","delta":"b"}\n'
    end = b'{"type":"transcript.text.done","text":"a b"}'

    assert KINDS["stt"].delivered_events(deltas + end) == ("a b",)
    assert KINDS["stt"].delivered_events(end) == ("a b",)


FAST = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 1_000_000_000, 2_000_000_000, 2, 16)


@pytest.mark.parametrize("extra", [pytest.param(FAST, id="two formats"), pytest.param(b"", id="one")])
def test_wav_in_a_chat_is_no_shorter_because_it_says_so(extra: bytes) -> None:
    honest = chat(audio(wav(10))).audio_tokens
    fast = chat(audio(wav(10, extra=extra))).audio_tokens
    alone = chat(audio(wav(10).replace(struct.pack("<II", 24_000, 48_000), struct.pack("<II", 1 << 30, 1 << 31))))

    assert fast >= honest
    assert alone.audio_tokens >= 3  # ten seconds at 48,000 bytes a second, read at the most that samples take


ENDLESS_JPEG = data_url(b"\xff\xd8" + b"\xff" * 190_000)
ENDLESS_WAV = base64.b64encode(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1000).decode()


@pytest.mark.parametrize(
    "item",
    [
        pytest.param("{}", id="objects"),
        pytest.param('"a"', id="texts"),
        pytest.param('{"content":"a"}', id="messages"),
        pytest.param(f'{{"image_url":"{ENDLESS_JPEG}"}}', id="fill bytes of an image"),
        pytest.param(f'{{"input_audio":{{"data":"{ENDLESS_WAV}"}}}}', id="chunks of audio"),
    ],
)
@pytest.mark.parametrize("shape", ['{"messages":[%s]}', '{"messages":[{"content":[%s]}]}'])
@pytest.mark.parametrize("most", [MAX_VALUES // 3, 10_000_000])
@pytest.mark.slow
def test_no_body_makes_its_reading_long(shape: str, item: str, most: int) -> None:
    read = (shape % ",".join([item] * min(most, 10_000_000 // len(item)))).encode()
    began = time.thread_time()

    KINDS["chat"].request_reading(read)
    KINDS["chat"].delivered_text(read)

    assert time.thread_time() - began < 1


def test_body_of_more_values_than_are_decoded_is_one_text() -> None:
    read = b'{"messages":[%s]}' % b",".join([b"{}"] * MAX_VALUES)

    assert KINDS["chat"].request_reading(read) == Reading((read.decode(),))
    assert KINDS["chat"].delivered_text(read) == (read.decode(),)
