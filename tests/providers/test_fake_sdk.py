"""The official OpenAI SDK reads the fake provider's answers, over a real socket."""

import base64
import io
import json
import math
import socket
import threading
import wave
from collections.abc import Iterator

import openai
import pytest
import uvicorn

from hero_broker.providers.fake.app import fake_provider


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """A client of a fake provider on a loopback socket."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        url = f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(fake_provider(), log_level="warning", access_log=False, lifespan="off"))
        serving = threading.Thread(target=server.run, args=([opened],))
        serving.start()
        try:
            with openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=20) as opened_client:
                yield opened_client
        finally:
            server.should_exit = True
            serving.join()


def test_sdk_reads_models(client: openai.OpenAI) -> None:
    assert "fake-chat" in [model.id for model in client.models.list()]


def test_sdk_reads_tool_calls_whole_and_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="fake-chat",
        messages=[{"role": "user", "content": "what is the weather"}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        tool_choice="required",
    ) as stream:
        streamed = stream.get_final_completion()
    whole = client.chat.completions.create(
        model="fake-chat",
        messages=[{"role": "user", "content": "what is the weather"}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )

    for completion in (streamed, whole):
        calls = completion.choices[0].message.tool_calls
        assert calls is not None
        (call,) = calls
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("weather", "{}")
        assert completion.choices[0].finish_reason == "tool_calls"
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 2)


def test_sdk_reads_completions_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="fake-completion", prompt="a b c d")
    chunks = list(
        client.completions.create(
            model="fake-completion", prompt="a b c d", stream=True, stream_options={"include_usage": True}
        )
    )

    assert whole.choices[0].text == "b c d"
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "b c d"
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage


def test_sdk_reads_embeddings_in_both_encodings(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="fake-embedding", input=["a b", "c"], dimensions=16)
    plain = client.embeddings.create(model="fake-embedding", input=["a b", "c"], dimensions=16, encoding_format="float")

    vectors = [item.embedding for item in packed.data]
    assert vectors == [pytest.approx(item.embedding) for item in plain.data]
    assert [math.hypot(*vector) for vector in vectors] == [pytest.approx(1, abs=1e-6)] * 2
    assert packed.usage.prompt_tokens == 3


def test_sdk_streams_speech_in_chunks(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="fake-tts", voice="alloy", input="hello " * 50, response_format="wav"
    ) as reply:
        length = reply.headers.get("content-length")
        audio = b"".join(reply.iter_bytes())

    assert length is None
    with wave.open(io.BytesIO(audio)) as reader:
        assert reader.getnframes() / reader.getframerate() == 15


def test_sdk_streams_speech_as_events(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="fake-tts", voice="alloy", input="hello", response_format="pcm", stream_format="sse"
    ) as reply:
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line]

    *deltas, done = map(json.loads, lines)
    assert sum(len(base64.b64decode(delta["audio"])) for delta in deltas) == 5 * 1600
    assert done["usage"] == {"input_tokens": 1, "output_tokens": 5, "total_tokens": 6}


def test_sdk_reads_what_was_spoken(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(model="fake-tts", voice="alloy", input="x" * 90).read()

    short = client.audio.transcriptions.create(model="fake-stt", file=("speech.wav", speech))
    verbose = client.audio.transcriptions.create(
        model="fake-stt", file=("speech.wav", speech), response_format="verbose_json"
    )
    text = client.audio.transcriptions.create(model="fake-stt", file=("speech.wav", speech), response_format="text")

    assert verbose.duration == 4.5
    assert verbose.segments is not None
    assert verbose.segments[-1].end == 4.5
    assert verbose.usage is not None
    assert verbose.usage.seconds == 5
    assert short.usage is not None
    assert short.usage.type == "duration"
    assert text == f"{short.text}\n"


def test_sdk_streams_a_transcript(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(model="fake-tts", voice="alloy", input="x" * 40).read()

    events = list(client.audio.transcriptions.create(model="fake-stt", file=("speech.wav", speech), stream=True))

    *deltas, done = events
    assert done.type == "transcript.text.done"
    assert "".join(delta.delta for delta in deltas if delta.type == "transcript.text.delta") == done.text
    assert len(deltas) == 6


def test_sdk_raises_for_audio_that_cannot_be_decoded(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model="fake-stt", file=("speech.mp3", b"no audio at all"))

    assert refused.value.param == "file"
