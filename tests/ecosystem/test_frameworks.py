"""LangChain, LlamaIndex and `llm`: every call is one row."""

import pytest

from tests.ecosystem.place import Place, Row

CHAT_UNITS = {"input_tokens": 40, "output_tokens": 3}
CHAT = Row("chat", "fake-chat", 25_970, CHAT_UNITS)
STREAM = Row("chat", "fake-chat", 25_970, CHAT_UNITS, stream=True)

LLM_MODEL = """\
- model_id: broker
  model_name: fake-chat
  api_base: {url}/v1
  api_key_name: broker
"""


def test_langchain_chat_is_one_row(place: Place) -> None:
    assert place.call("langchain", "invoke") == {"text": "word word word", "tokens": [40, 3]}
    assert place.rows() == [CHAT]


def test_langchain_stream_is_one_row_though_it_does_not_ask_for_usage(place: Place) -> None:
    assert place.call("langchain", "stream") == {"text": "word word word", "usages": []}
    assert place.rows() == [STREAM]


def test_langchain_stream_that_asks_for_usage_gets_it(place: Place) -> None:
    assert place.call("langchain", "stream_with_usage") == {"text": "word word word", "tokens": [[40, 3]]}
    assert place.rows() == [STREAM]


def test_langchain_embeddings_are_one_row(place: Place) -> None:
    assert place.call("langchain", "embeddings") == [8, 8]
    assert place.rows() == [Row("embedding", "fake-embedding", 1_770, {"input_tokens": 3, "output_tokens": 0})]


def test_llama_index_chat_is_one_row(place: Place) -> None:
    assert place.call("llama_index", "chat") == "word word word"
    assert place.rows() == [CHAT]


def test_llama_index_stream_is_one_row(place: Place) -> None:
    assert place.call("llama_index", "stream") == ["word", " word", " word"]
    assert place.rows() == [STREAM]


@pytest.mark.parametrize(("options", "row"), [((), STREAM), (("--no-stream",), CHAT)], ids=["stream", "whole"])
def test_llm_prompt_is_one_row(place: Place, options: tuple[str, ...], row: Row) -> None:
    (place.directory / "extra-openai-models.yaml").write_text(LLM_MODEL.format(url=place.running.url))
    (place.directory / "keys.json").write_text('{"broker": "any"}')
    prompt = " ".join(["word"] * 40)

    printed = place.run([place.python("llm"), "-m", "llm", "prompt", "--model", "broker", *options, prompt])

    assert printed.strip() == "word word word"
    assert place.rows() == [row]
