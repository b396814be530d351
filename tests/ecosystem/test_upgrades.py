"""Clients that offer another protocol with each request: Java's own, and curl."""

import json
from typing import Any

import pytest

from tests.ecosystem.place import CLIENTS, Place, Row

CHAT = Row("chat", "fake-chat", 25_970, {"input_tokens": 40, "output_tokens": 3})
STREAMED = Row("chat", "fake-chat", 25_970, {"input_tokens": 40, "output_tokens": 3}, stream=True)


def java(place: Place, name: str) -> Any:
    """Make one of the calls in `Calls.java`, and return what it prints."""
    return json.loads(place.run(["java", "-XX:TieredStopAtLevel=1", str(CLIENTS / "java_http" / "Calls.java"), name]))


def test_java_reads_the_models(place: Place) -> None:
    assert java(place, "models") == {"status": 200, "version": "HTTP_1_1"}


@pytest.mark.parametrize("name", ["chat", "chat_in_chunks"])
def test_java_call_is_one_row(place: Place, name: str) -> None:
    assert java(place, name)["usage"]["prompt_tokens"] == 40
    assert place.rows() == [CHAT]


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
def test_curl_that_offers_http2_is_served(place: Place, stream: bool) -> None:
    messages = [{"role": "user", "content": " ".join(["word"] * 40)}]
    body = json.dumps({"model": "fake-chat", "stream": stream, "messages": messages})
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
    url = f"{place.running.url}/v1/chat/completions"

    answer = place.run([*ask, *sent, "--output", "/dev/null", "--output", "/dev/null", url, url])

    assert answer.split() == ["200", "1", "200", "0"]
    assert place.rows() == [STREAMED if stream else CHAT] * 2
