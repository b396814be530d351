"""Clients that offer another protocol with each request: Java's own, and curl."""

import json
from typing import Any

import pytest

from tests.ecosystem.place import CLIENTS, Place, Row

UNITS = {"input_tokens": 40, "output_tokens": 3}
RESPONSES_UNITS = {**UNITS, "cached_input_tokens": 0, "reasoning_tokens": 0}
MESSAGES_UNITS = {**UNITS, "cached_input_tokens": 0, "cache_write_tokens": 0}
CHAT = Row("chat", "fake-chat", 25_970, UNITS)
STREAMED = Row("chat", "fake-chat", 25_970, UNITS, stream=True)


def java(place: Place, name: str) -> Any:
    """Make one of the calls in `Calls.java`, and return what it prints."""
    return json.loads(place.run(["java", "-XX:TieredStopAtLevel=1", str(CLIENTS / "java_http" / "Calls.java"), name]))


def test_java_reads_the_models(place: Place) -> None:
    assert java(place, "models") == {"status": 200, "version": "HTTP_1_1"}


@pytest.mark.parametrize("name", ["chat", "chat_in_chunks"])
def test_java_call_is_one_row(place: Place, name: str) -> None:
    assert java(place, name)["usage"]["prompt_tokens"] == 40
    assert place.rows() == [CHAT]


@pytest.mark.parametrize(("name", "extra"), [("responses", RESPONSES_UNITS), ("messages", MESSAGES_UNITS)])
def test_java_call_of_an_agents_kind_is_one_row(place: Place, name: str, extra: dict[str, int]) -> None:
    usage = java(place, name)["usage"]

    assert (usage["input_tokens"], usage["output_tokens"]) == (40, 3)
    assert place.rows() == [Row(name, "fake-chat", 25_970, extra)]


def test_java_call_that_comes_in_many_packets_is_one_row(place: Place) -> None:
    assert java(place, "long_chat") == {"status": 200, "version": "HTTP_1_1"}
    assert [row.units["input_tokens"] for row in place.rows()] == [100_000]


def test_java_stream_is_one_row(place: Place) -> None:
    assert java(place, "stream") is True
    assert place.rows() == [STREAMED]


def test_java_calls_on_one_connection_are_a_row_each(place: Place) -> None:
    assert java(place, "three") == [200, 200, 200]
    assert place.rows() == [CHAT] * 3


def test_java_websocket_is_refused_with_426(place: Place) -> None:
    assert java(place, "websocket") == 426
    assert place.rows() == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "path", "units"),
    [
        ("chat", "chat/completions", UNITS),
        ("responses", "responses", RESPONSES_UNITS),
        ("messages", "messages", MESSAGES_UNITS),
    ],
)
def test_curl_that_offers_http2_is_served(
    place: Place, kind: str, path: str, units: dict[str, int], stream: bool
) -> None:
    words = " ".join(["word"] * 40)
    messages = [{"role": "user", "content": words}]
    asked = {"input": words} if kind == "responses" else {"messages": messages, "max_tokens": 100}
    body = json.dumps({"model": "fake-chat", "stream": stream, **asked})
    ask = [
        "curl",
        "--silent",
        "--show-error",
        "--http2",
        "--max-time",
        "60",
        "--write-out",
        "%{http_code} %{num_connects}\n",
    ]
    sent = ["--header", "content-type: application/json", "--data-binary", body]
    url = f"{place.running.url}/v1/{path}"

    answer = place.run([*ask, *sent, "--output", "/dev/null", "--output", "/dev/null", url, url])

    assert answer.split() == ["200", "1", "200", "0"]
    assert place.rows() == [Row(kind, "fake-chat", 25_970, units, stream=stream)] * 2
