"""How families of models count: by hand, against the published fit, and as properties."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.families import (
    CLAUDE,
    FAMILIES,
    GPT_3_5,
    GPT_4,
    GPT_4O,
    GPT_4O_MINI,
    GPT_5,
    GPT_OSS,
    GROK,
    MISTRAL,
    QWEN,
    UNKNOWN,
    Family,
    family_of,
)
from hero_broker.kinds.texts import Image, Reading

SEEN = Image(1024, 1024)
UNSEEN = Image(0, 0)
ALL = (*FAMILIES, UNKNOWN)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", GPT_4O),
        ("gpt-4o-2024-08-06", GPT_4O),
        ("chatgpt-4o-latest", GPT_4O),
        ("ft:gpt-4o-mini:acme", GPT_4O_MINI),
        ("openai/GPT-4o-Mini-2024-07-18", GPT_4O_MINI),
        ("gpt-5", GPT_5),
        ("gpt-5.2-nano", GPT_5),
        ("gpt-4", GPT_4),
        ("gpt-4.1-mini", GPT_4),
        ("gpt-3.5-turbo", GPT_3_5),
        ("gpt-35-turbo", GPT_3_5),
        ("openai/gpt-oss-120b", GPT_OSS),
        ("anthropic/claude-sonnet-4.5", CLAUDE),
        ("openrouter/anthropic/claude-3-haiku", CLAUDE),
        ("mistralai/mistral-small", MISTRAL),
        ("ministral-8b-latest", MISTRAL),
        ("magistral-medium-latest", MISTRAL),
        ("codestral-2501", MISTRAL),
        ("open-mixtral-8x22b", MISTRAL),
        ("qwen/qwen3-32b", QWEN),
        ("QwQ-32B", QWEN),
        ("x-ai/grok-4", GROK),
        ("llama-3.3-70b-versatile", UNKNOWN),
        ("deepseek-chat", UNKNOWN),
        ("my-gpt-4o", UNKNOWN),
        ("gpt-4o/mine", UNKNOWN),
        ("o3", UNKNOWN),
        ("", UNKNOWN),
        ("///", UNKNOWN),
        ("\ud800\0\n", UNKNOWN),
        ("x" * 1_000_000, UNKNOWN),
    ],
)
def test_family_is_that_of_the_longest_prefix_of_the_bare_name(model: str, family: Family) -> None:
    assert family_of(model) is family


# Two messages, 100 tokens of text by the tokenizer, tools of 200 bytes; the sum is rounded up.
WITH_TOOLS = Reading(messages=2, definitions=("t" * 150, "ü" * 25), has_tools=True)


@pytest.mark.parametrize(
    ("family", "tokens"),
    [
        pytest.param(GPT_4O, 145, id="gpt-4o: 5 + 7.4 + 100 + 23 + 9 = 144.4"),
        pytest.param(GPT_4O_MINI, 147, id="gpt-4o-mini: 3 + 11.2 + 100 + 32.2 = 146.4"),
        pytest.param(GPT_5, 229, id="gpt-5: 2 + 12 + 100 + 27.6 + 87 = 228.6"),
        pytest.param(GPT_4, 143, id="gpt-4: 5 + 6.6 + 100 + 31.2 = 142.8"),
        pytest.param(GPT_3_5, 134, id="gpt-3.5: 3 + 6.8 + 100 + 24.2 = 134.0"),
        pytest.param(GPT_OSS, 233, id="gpt-oss: 56 + 33.6 + 100 + 42.6 = 232.2"),
        pytest.param(CLAUDE, 616, id="claude: 6 + 8 + 110 + 173.4 + 318 = 615.4"),
        pytest.param(MISTRAL, 180, id="mistral: 8 + 5.4 + 104 + 19.2 + 43 = 179.6"),
        pytest.param(QWEN, 238, id="qwen: 23.8 + 103 + 83 + 28 = 237.8"),
        pytest.param(GROK, 292, id="grok: 8.4 + 103 + 60 + 120 = 291.4"),
    ],
)
def test_each_family_counts_as_its_fit_does(family: Family, tokens: int) -> None:
    assert family.counted_texts(WITH_TOOLS) == ()
    assert family.tokens(100, family.uncounted_milli(WITH_TOOLS)) == tokens


def test_definitions_of_an_unknown_family_are_text() -> None:
    reading = replace(WITH_TOOLS, texts=("a",))

    assert UNKNOWN.counted_texts(reading) == ("a", *WITH_TOOLS.definitions)
    assert UNKNOWN.tokens(100, UNKNOWN.uncounted_milli(reading)) == 100 + 3 + 2 * 4


def test_only_a_chat_has_a_base_and_only_tools_are_counted_once() -> None:
    for family in FAMILIES:
        assert family.uncounted_milli(Reading(("a",))) == 0
        assert family.uncounted_milli(Reading(definitions=("aa",))) == 2 * (family.definition_byte_milli or 0)
        with_tools = family.uncounted_milli(Reading(definitions=("aa",), has_tools=True))
        assert with_tools == 2 * (family.definition_byte_milli or 0) + family.tools_milli


def test_what_all_models_count_alike_is_added() -> None:
    assert UNKNOWN.tokens(0, UNKNOWN.uncounted_milli(Reading(fixed_tokens=3, audio_tokens=4))) == 7


@pytest.mark.parametrize(
    ("family", "milli"),
    [(CLAUDE, 4096 * 867 + 904 * 300), (QWEN, 4096 * 415 + 904 * 300), (GPT_4O, 5000 * 115)],
    ids=["claude", "qwen", "gpt-4o"],
)
def test_further_bytes_of_long_definitions_have_fewer_tokens(family: Family, milli: int) -> None:
    assert family.uncounted_milli(Reading(definitions=("a" * 2000, "b" * 3000))) == milli


# Columns of the fit: base, per message, bytes of text (a), bytes of definitions (b), once if there are tools.
PUBLISHED = {
    GPT_4O: (5, 3.7, 0.229, 0.115, 9),
    GPT_4O_MINI: (3, 5.6, 0.205, 0.161, 0),
    GPT_5: (2, 6.0, 0.212, 0.138, 87),
    GPT_4: (5, 3.3, 0.218, 0.156, 0),
    GPT_3_5: (3, 3.4, 0.234, 0.121, 0),
    GPT_OSS: (56, 16.8, 0.162, 0.213, 0),
    CLAUDE: (6, 4.0, 0.204, 0.867, 318),
    MISTRAL: (8, 2.7, 0.197, 0.096, 43),
    QWEN: (0, 11.9, 0.217, 0.415, 28),
    GROK: (0, 4.2, 0.230, 0.300, 120),
}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.prefixes[0])
def test_factors_are_the_published_ones(family: Family) -> None:
    base, message, _, definition_byte, once = PUBLISHED[family]

    assert family.base_milli == base * 1000
    assert family.message_milli == round(message * 1000)
    assert family.definition_byte_milli == round(definition_byte * 1000)
    assert family.tools_milli == once * 1000


@pytest.mark.parametrize(
    ("image", "openai", "mini", "newer", "claude"),
    [
        pytest.param(SEEN, 765, 25_501, 630, 1_399, id="OpenAI's first example"),
        pytest.param(Image(2048, 4096), 1_105, 36_835, 910, 1_600, id="OpenAI's second example"),
        pytest.param(Image(512, 512), 255, 8_500, 210, 350, id="one tile"),
        pytest.param(Image(1, 1), 255, 8_500, 210, 1, id="not scaled up"),
        pytest.param(Image(4_000_000_000, 1), 765, 25_501, 630, 3, id="a line"),
        pytest.param(UNSEEN, 765, 25_501, 630, 1_399, id="unknown size"),
        pytest.param(Image(0, 10), 765, 25_501, 630, 1_399, id="no width"),
        pytest.param(Image(4096, 8192, is_low_detail=True), 85, 2_833, 70, 1_600, id="low detail"),
        pytest.param(Image(200, 200), 255, 8_500, 210, 54, id="Anthropic's first example"),
        pytest.param(Image(1000, 1000), 765, 25_501, 630, 1_334, id="Anthropic's second example"),
    ],
)
def test_image_counts_by_the_familys_rule(image: Image, openai: int, mini: int, newer: int, claude: int) -> None:
    for family in ALL:
        expected = {GPT_4O_MINI: mini, GPT_5: newer, CLAUDE: claude}.get(family, openai)
        assert family.tokens(0, family.uncounted_milli(Reading(images=(image,)))) == expected


IMAGES = st.builds(Image, st.integers(0, 2**32), st.integers(0, 2**32), st.booleans())
READINGS = st.builds(
    Reading,
    fixed_tokens=st.integers(0, 1000),
    messages=st.integers(0, 100),
    images=st.lists(IMAGES, max_size=3).map(tuple),
    definitions=st.lists(st.text(), max_size=3).map(tuple),
    has_tools=st.booleans(),
)


@given(family=st.sampled_from(ALL), reading=READINGS, counted=st.integers(0, 10**6), image=IMAGES, definition=st.text())
def test_more_of_anything_never_counts_less(
    family: Family, reading: Reading, counted: int, image: Image, definition: str
) -> None:
    tokens = family.tokens(counted, family.uncounted_milli(reading))

    for more in (
        replace(reading, messages=reading.messages + 1),
        replace(reading, images=(*reading.images, image)),
        replace(reading, definitions=(*reading.definitions, definition)),
        replace(reading, has_tools=True),
        replace(reading, fixed_tokens=reading.fixed_tokens + 1),
    ):
        assert family.tokens(counted, family.uncounted_milli(more)) >= tokens
        assert len(family.counted_texts(more)) >= len(family.counted_texts(reading))
    assert family.tokens(counted + 1, family.uncounted_milli(reading)) >= tokens


DEEP = b"[" * 50_000 + b"]" * 50_000
MANY_IMAGES = b",".join([b'{"image_url":"data:image/png;base64,iVBORw0KGgo="}'] * 5_000)


@pytest.mark.parametrize("family", ALL, ids=lambda family: "".join(family.prefixes[:1]))
@pytest.mark.parametrize(
    ("members", "most"),
    [
        pytest.param(b'"messages":[],"tools":%s' % DEEP, 100_000, id="deep tools"),
        pytest.param(b'"messages":%s' % DEEP, 100, id="deep messages"),
        pytest.param(b'"messages":[],"tools":"\\ud800","functions":7', 10, id="tools of other types"),
        pytest.param(b'"messages":[],"tools":[1e999],"response_format":[[]]', 10, id="number out of range"),
        pytest.param(b'"messages":[{"content":[%s]}]' % MANY_IMAGES, 10 + 5_000 * 25_501, id="images"),
    ],
)
def test_hostile_chat_has_a_bounded_estimate(family: Family, members: bytes, most: int) -> None:
    began = time.thread_time()

    reading = CHAT.request_reading(b'{"model":"m",%s}' % members)
    uncounted = family.tokens(0, family.uncounted_milli(reading))

    assert 0 <= uncounted <= most
    assert all(map(str.encode, family.counted_texts(reading)))
    assert time.thread_time() - began < 2


@given(family=st.sampled_from(ALL), image=IMAGES)
def test_any_image_has_a_bounded_number_of_tokens(family: Family, image: Image) -> None:
    assert 0 < family.image_rule.tokens(image) <= 2_833 + 5_667 * 16
