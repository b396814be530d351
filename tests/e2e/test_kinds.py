"""Every kind of call, from OpenAI's own client to its row: units, price, explanation."""

import json
import select
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.data_plane.compressing import gzipped, zstd
from tests.data_plane.test_upload import sound
from tests.e2e.conftest import Ledger
from tests.e2e.provider import JSON_HEAD, Provider, answering
from tests.e2e_support import Broker, broker, chat
from tests.raw_clients import connected, read_answer, request
from tests.stores import query


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's calls go; its context tells its rows apart."""

    url: str
    context: str
    ledger: Ledger

    @property
    def headers(self) -> dict[str, str]:
        return {"x-hero-context": self.context}

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return the columns of every row of this test, once all are stored."""
        self.ledger.running.usage()
        where = f"WHERE context = '{self.context}' ORDER BY seq"
        return query(self.ledger.database_url, f"SELECT {', '.join(columns)} FROM request_logs {where}")


@pytest.fixture
def place(shared_ledger: Ledger) -> Place:
    return Place(shared_ledger.running.url, uuid.uuid4().hex, shared_ledger)


@pytest.fixture
def client(place: Place) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{place.url}/v1", api_key="any", max_retries=0, default_headers=place.headers) as made:
        yield made


def rows(running: Broker, database_url: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return the columns of every row, once all are stored."""
    running.usage()
    return query(database_url, f"SELECT {', '.join(columns)} FROM request_logs ORDER BY seq")


UNITS = ("kind", "usage_source", "cost_nano_usd")


def test_completion_is_billed_by_tokens(place: Place, client: openai.OpenAI) -> None:
    plain = client.completions.create(model="fake-completion", prompt="one two three four")
    streamed = list(client.completions.create(model="fake-completion", prompt="one two", stream=True))

    assert plain.usage is not None
    assert all(chunk.choices for chunk in streamed)
    assert place.rows("kind", "input_tokens", "output_tokens", "stream") == [
        ("completion", 4, 3, 0),
        ("completion", 2, 2, 1),
    ]


def test_speech_is_billed_by_characters(place: Place, client: openai.OpenAI) -> None:
    text = "Grüße aus 東京 🙂"
    spoken = client.audio.speech.create(model="fake-tts", voice="alloy", input=text).content

    assert spoken.startswith(b"RIFF")
    assert place.rows(*UNITS, "characters") == [("tts", "reported", len(text) * 15_000, len(text))]


def test_speech_as_events_is_billed_by_characters(place: Place, client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="fake-tts", voice="alloy", input="Hello there", stream_format="sse"
    ) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data:")]

    assert '"speech.audio.done"' in events[-1]
    assert place.rows(*UNITS, "characters", "stream") == [("tts", "reported", 11 * 15_000, 11, 1)]


@pytest.mark.parametrize("answer", ["json", "verbose_json", "text", "srt", "vtt"])
def test_transcript_is_billed_by_seconds_in_every_format(place: Place, client: openai.OpenAI, answer: Any) -> None:
    client.audio.transcriptions.create(
        model="fake-stt", file=("speech.wav", sound(30), "audio/wav"), response_format=answer
    )

    source = "reported" if "json" in answer else "estimated"
    assert place.rows(*UNITS, "audio_ms") == [("stt", source, 3_000_000, 30_000)]


def test_streamed_transcript_and_translation_are_billed(place: Place, client: openai.OpenAI) -> None:
    file = ("speech.wav", sound(30), "audio/wav")
    events = list(client.audio.transcriptions.create(model="fake-stt", file=file, stream=True))
    form = {"data": {"model": "fake-stt"}, "files": {"file": file}, "headers": place.headers}
    httpx.post(f"{place.url}/v1/audio/translations", **form).raise_for_status()  # type: ignore[arg-type]

    assert [event.type for event in events][-1] == "transcript.text.done"
    assert place.rows("kind", "cost_nano_usd", "stream") == [
        ("stt", 3_000_000, 1),
        ("stt", 3_000_000, 0),
    ]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_rerank_is_billed_by_searches(place: Place, path: str) -> None:
    body = {"model": "fake-rerank", "query": "a bill", "documents": ["bill", "call"], "top_n": None}
    ranked = httpx.post(place.url + path, json=body, headers=place.headers).raise_for_status().json()

    assert ranked["results"][0]["index"] == 0
    assert place.rows(*UNITS, "search_units") == [("rerank", "reported", 2_000_000, 1)]


def test_moderation_costs_nothing_where_the_provider_takes_nothing(place: Place, client: openai.OpenAI) -> None:
    named = client.moderations.create(model="fake-moderation", input=["this does harm", "that does not"])
    part: Any = {"type": "text", "text": "no harm"}
    unnamed = client.moderations.create(input=[part])

    assert [item.flagged for item in named.results] == [True, False]
    assert [item.flagged for item in unnamed.results] == [True]
    assert (
        place.rows("model", *UNITS, "input_tokens", "cost_source")
        == [("fake-moderation", "moderation", "none", 0, None, "price")] * 2
    )


@pytest.mark.parametrize(
    ("usage", "source", "tokens"),
    [({"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}, "reported", 7), (None, "estimated", 3)],
)
def test_moderation_is_billed_by_tokens_where_the_price_is_by_token(
    tmp_path: Path, database_url: str, usage: object, source: str, tokens: int
) -> None:
    config = tmp_path / "broker.toml"
    answer = JSON_HEAD + b"\r\n" + json.dumps({"results": [{"flagged": False}], "usage": usage}).encode()
    with Provider() as provider:
        config.write_text(provider.config().replace('kind = "chat"', 'kind = "moderation"'))
        with (
            broker(tmp_path / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=database_url) as running,
            answering(provider, answer),
        ):
            httpx.post(f"{running.url}/v1/moderations", json={"input": "three small words"}).raise_for_status()
            stored = rows(running, database_url, "kind", "model", "usage_source", "input_tokens", "cost_nano_usd")

    assert stored == [("moderation", "m", source, tokens, tokens * 590)]


def test_tools_and_embeddings_of_both_encodings_are_billed(place: Place, client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "base_url": 1}}}
    called = client.chat.completions.create(
        model="fake-chat", messages=[{"role": "user", "content": "a b"}], tools=[tool], tool_choice="required"
    )
    as_base64 = client.embeddings.create(model="fake-embedding", input=["a b", "c"])
    as_floats = client.embeddings.create(model="fake-embedding", input=["a b", "c"], encoding_format="float")

    assert called.choices[0].message.tool_calls
    assert as_base64.data[1].embedding == pytest.approx(as_floats.data[1].embedding)
    assert [kind for (kind,) in place.rows("kind")] == ["chat", "embedding", "embedding"]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzipped), ("zstd", zstd)])
@pytest.mark.parametrize("padding", [0, 3_000_000], ids=["short", "long"])
def test_compressed_body_is_billed_as_a_plain_one(
    place: Place, encoding: str, compress: Callable[[bytes], bytes], padding: int
) -> None:
    body = compress(json.dumps(chat()).encode() + b" " * padding)
    headers = {"content-type": "application/json", "content-encoding": encoding, **place.headers}

    with connected(place.url) as connection, connection.makefile("rb") as received:
        whole = request("/v1/chat/completions", body, headers=headers)
        connection.sendall(whole[:-20])
        connection.sendall(whole[-20:])
        status, answer = read_answer(received)

    assert (status, json.loads(answer)["usage"]["prompt_tokens"]) == (200, 40)
    assert place.rows("kind", "input_tokens", "cost_nano_usd") == [("chat", 40, 25_970)]


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzipped(bytes(21_000_000)), 413),
        ("zstd", zstd(bytes(21_000_000)), 413),
        ("gzip", b"{}", 400),
        ("zstd", zstd(b"{}")[:-1], 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzipped(gzipped(b"{}")), 415),
    ],
)
def test_compressed_body_that_is_refused_has_no_row(place: Place, encoding: str, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding, **place.headers}

    refused = httpx.post(f"{place.url}/v1/chat/completions", content=body, headers=headers)

    assert (refused.status_code, refused.headers.get("accept-encoding")) == (
        status,
        "gzip, zstd" if status == 415 else None,
    )
    assert place.rows("kind") == []


@pytest.mark.parametrize("base", ["", "/v1/v1", "/openai/v1"])
def test_base_url_that_is_slightly_wrong_works_and_is_billed(place: Place, base: str) -> None:
    with openai.OpenAI(base_url=place.url + base, api_key="any", default_headers=place.headers) as client:
        client.chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": "hi"}])
        client.embeddings.create(model="fake-embedding", input="a")
        client.audio.transcriptions.create(model="fake-stt", file=("a.wav", sound(1)))
        names = {model.id for model in client.models.list()}
        assert client.models.retrieve("fake/fake-chat").id == "fake/fake-chat"

    assert "fake-chat" in names
    assert [kind for (kind,) in place.rows("kind")] == ["chat", "embedding", "stt"]


def test_azures_client_is_served_and_billed(place: Place) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=place.url, api_key="any", api_version="2024-10-21", max_retries=0, default_headers=place.headers
    ) as client:
        client.chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": "hi"}])
        stream = client.chat.completions.create(
            model="fake-chat", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert len(list(stream)) > 1
        client.embeddings.create(model="fake-embedding", input="a")
        client.audio.speech.create(model="fake-tts", voice="alloy", input="a").read()
        client.audio.transcriptions.create(model="fake-stt", file=("a.wav", sound(1)))
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model="none", messages=[{"role": "user", "content": "hi"}])

    assert refused.value.code == "model_not_found"
    kinds = ["chat", "chat", "embedding", "tts", "stt"]
    assert place.rows("kind", "model") == [(kind, f"fake-{kind}") for kind in kinds]


@pytest.mark.parametrize("model", ["fake%2Ffake-stt", "%66ake-stt"])
def test_model_of_azures_path_is_decoded_once_and_needs_no_field(place: Place, model: str) -> None:
    url = f"{place.url}/openai/deployments/{model}/audio/transcriptions?api-version=2024-10-21"

    answer = httpx.post(url, files={"file": ("a.wav", sound(1))}, headers={"api-key": "any", **place.headers})
    twice = httpx.post(
        url.replace("%", "%25"), files={"file": ("a.wav", sound(1))}, headers={"api-key": "any", **place.headers}
    )

    assert (answer.status_code, twice.status_code) == (200, 404)
    assert place.rows("kind", "model") == [("stt", "fake-stt")]


def test_models_are_listed_and_found(place: Place, client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert {"fake-chat", "fake-tts", "fake-stt", "fake-rerank"} <= set(names)
    assert client.models.retrieve("fake-chat").owned_by == "fake"
    assert httpx.get(f"{place.url}/v1/models/fake/fake-chat").json()["id"] == "fake/fake-chat"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("none/such")
    assert refused.value.code == "model_not_found"


def test_cost_is_explained_line_by_line(place: Place, client: openai.OpenAI) -> None:
    words = " ".join(["word"] * 40)
    answer = client.chat.completions.with_raw_response.create(
        model="fake-chat", messages=[{"role": "user", "content": words}]
    )
    place.rows("seq")
    explained = httpx.get(f"{place.url}/billing/requests/{answer.headers['x-request-id']}")

    assert b'"cost_usd":0.00002597' in explained.content
    data = explained.json()["data"]
    assert [(line["unit"], line["units"], line["usd"], line["amount_usd"]) for line in data["cost"]["lines"]] == [
        ("input_tokens", "40", "0.59", "0.0000236"),
        ("output_tokens", "3", "0.79", "0.00000237"),
    ]
    assert data["cost"]["exact_usd"] == "0.00002597"
    assert data["cost"]["price_source"] == "fake provider"


def test_request_that_is_not_there_is_told(place: Place) -> None:
    rest = httpx.get(f"{place.url}/billing/requests/none")
    question = {"jsonrpc": "2.0", "id": 1, "method": "billing.request", "params": ["none"]}
    rpc = httpx.post(f"{place.url}/rpc", json=question).json()

    assert rest.status_code == 404
    assert rest.json()["error"]["code"] == "not_found"
    assert rpc["error"]["code"] == -32004


WAV = ("a.wav", b"RIFF", "audio/wav")


@pytest.mark.parametrize(
    ("path", "request_of", "status", "param"),
    [
        ("/v1/completions", {"json": {"model": "fake-completion"}}, 400, "prompt"),
        ("/v1/completions", {"json": {"model": "fake-completion", "prompt": 5}}, 400, "prompt"),
        ("/v1/chat/completions", {"json": {"model": "fake-chat", "messages": "hi"}}, 400, "messages"),
        ("/v1/embeddings", {"json": {"model": "fake-embedding", "input": {}}}, 400, "input"),
        ("/v1/audio/speech", {"json": {"model": "fake-tts", "input": ""}}, 400, "input"),
        ("/v1/audio/speech", {"json": {"model": "fake-tts", "input": ["a"]}}, 400, "input"),
        ("/v1/audio/speech", {"json": {"model": "fake-stt", "input": "a"}}, 404, "model"),
        ("/v1/rerank", {"json": {"model": "fake-rerank", "documents": []}}, 400, "query"),
        ("/v2/rerank", {"json": {"model": "fake-rerank", "query": "a", "documents": "b"}}, 400, "documents"),
        ("/v1/audio/transcriptions", {"json": {"model": "fake-stt"}}, 415, None),
        ("/v1/audio/transcriptions", {"data": {"model": "fake-stt"}, "files": {"other": WAV}}, 400, "file"),
        ("/v1/audio/transcriptions", {"data": {"model": "none"}, "files": {"file": WAV}}, 404, "model"),
        ("/v1/audio/transcriptions", {"files": {"file": WAV}}, 400, "model"),
        (
            "/v1/audio/transcriptions",
            {"data": {"model": "fake-stt"}, "files": {"file": ("a.wav", b"", "audio/wav")}},
            400,
            "file",
        ),
        (
            "/v1/audio/transcriptions",
            {"data": {"model": "fake-stt", "stream": "perhaps"}, "files": {"file": WAV}},
            400,
            "stream",
        ),
        (
            "/v1/audio/transcriptions",
            {"content": b"", "headers": {"content-type": "multipart/form-data"}},
            400,
            None,
        ),
        (
            "/v1/audio/transcriptions",
            {"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            None,
        ),
    ],
)
def test_bad_request_is_refused_before_the_provider_is_asked(
    shared_broker: Broker, path: str, request_of: dict[str, Any], status: int, param: str | None
) -> None:
    before = shared_broker.usage()["totals"]["requests"]  # of other tests

    answer = httpx.post(shared_broker.url + path, **request_of)

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["param"] == param
    assert shared_broker.usage()["totals"]["requests"] == before


def test_audio_that_is_none_is_passed_on_and_billed_as_the_provider_says(place: Place, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model="fake-stt", file=("a.wav", b"no audio", "audio/wav"))

    assert place.rows("outcome", "http_status", "usage_source", "cost_nano_usd") == [("provider_error", 400, "none", 0)]


STRANGE_USAGE = [
    '{"prompt_tokens":-1,"completion_tokens":3}',
    '{"prompt_tokens":NaN,"completion_tokens":3}',
    '{"prompt_tokens":4.5,"completion_tokens":3}',
    '{"prompt_tokens":"40","completion_tokens":3}',
    '{"prompt_tokens":1000000000000000000000000000000,"completion_tokens":3}',
    '{"prompt_tokens":[40],"completion_tokens":3}',
    "[]",
    '"many"',
]


def configured(tmp_path: Path, provider: Provider, kind: str, price: str) -> list[str]:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\n'
        f'[[models]]\nname = "m"\naliases = ["alias"]\nkind = "{kind}"\nprovider = "p"\n'
        + (f"[models.price]\n{price}\n" if price else "")
    )
    return ["--config", str(config)]


def test_strange_usage_passes_on_and_is_estimated(tmp_path: Path, database_url: str) -> None:
    bodies = []
    with (
        Provider() as provider,
        broker(
            tmp_path / "state",
            *configured(tmp_path, provider, "chat", "input_per_million = 0.59\noutput_per_million = 0.79"),
            HERO_BROKER_DATABASE_URL=database_url,
        ) as running,
    ):
        for usage in STRANGE_USAGE:
            message = '{"role":"assistant","content":"one two three"}'
            body = f'{{"choices":[{{"index":0,"message":{message}}}],"usage":{usage}}}'.encode()
            with httpx.Client() as client:
                sent = client.build_request(
                    "POST", f"{running.url}/v1/chat/completions", json={"model": "m", "messages": [{"content": "hi"}]}
                )
                with answering(provider, JSON_HEAD + b"content-length: %d\r\n\r\n" % len(body) + body):
                    bodies.append((client.send(sent).content, body))
        found = rows(running, database_url, "outcome", "usage_source", "output_tokens")

    assert all(got == sent for got, sent in bodies)
    assert found == [("ok", "estimated", 3)] * len(STRANGE_USAGE)


def test_answer_that_breaks_off_is_billed_by_what_came_of_it(tmp_path: Path, database_url: str) -> None:
    came = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"' + b"word " * 100
    with (
        Provider() as provider,
        broker(
            tmp_path / "state",
            *configured(tmp_path, provider, "chat", "input_per_million = 0.59\noutput_per_million = 0.79"),
            HERO_BROKER_DATABASE_URL=database_url,
        ) as running,
        answering(provider, JSON_HEAD + b"content-length: 10000\r\n\r\n" + came),
    ):
        sent = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        answer = httpx.post(f"{running.url}/v1/chat/completions", json=sent)
        found = rows(running, database_url, "outcome", "usage_source", "input_tokens", "output_tokens")

    assert answer.status_code == 502
    ((outcome, source, input_tokens, output_tokens),) = found
    assert (outcome, source, input_tokens) == ("provider_error", "estimated", 8)
    assert 100 <= output_tokens <= 125  # a hundred words, and the JSON around them


def test_providers_own_cost_is_billed_where_the_operator_set_no_price(tmp_path: Path, database_url: str) -> None:
    body = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3,"cost":0.0012345678915}}'
    with (
        Provider() as provider,
        broker(
            tmp_path / "state", *configured(tmp_path, provider, "chat", ""), HERO_BROKER_DATABASE_URL=database_url
        ) as running,
        answering(provider, JSON_HEAD + b"content-length: %d\r\n\r\n" % len(body) + body),
    ):
        asked = {"model": "alias", "messages": []}
        answer = httpx.post(f"{running.url}/v1/chat/completions", json=asked)
        found = rows(running, database_url, "model", "requested_model", "cost_nano_usd", "cost_source", "price_id")
        explained = httpx.get(f"{running.url}/billing/requests/{answer.headers['x-request-id']}").content

    assert found == [("m", "alias", 1_234_568, "provider", None)]
    assert json.loads(explained, parse_float=Decimal)["data"]["cost_usd"] == Decimal("0.001234568")


def test_speech_that_breaks_off_in_http_1_0_is_reset_and_does_not_pass_for_a_whole_one(
    tmp_path: Path, database_url: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n"
    sent = request("/v1/audio/speech", b'{"model":"m","input":"hello"}').replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with (
        Provider() as provider,
        broker(
            tmp_path / "state",
            *configured(tmp_path, provider, "tts", "characters_per_million = 15"),
            HERO_BROKER_DATABASE_URL=database_url,
        ) as running,
        answering(provider, head + b"4\r\nabcd\r\n4\r\nefgh\r\n"),
        connected(running.url) as connection,
    ):
        connection.sendall(sent)
        watcher = select.poll()
        watcher.register(connection, select.POLLERR)  # an end that is no reset is no error

        assert watcher.poll(20_000)


def test_speech_that_breaks_off_reaches_the_client_as_broken(tmp_path: Path, database_url: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n"
    with (
        Provider() as provider,
        broker(
            tmp_path / "state",
            *configured(tmp_path, provider, "tts", "characters_per_million = 15"),
            HERO_BROKER_DATABASE_URL=database_url,
        ) as running,
        answering(provider, head + b"4\r\nabcd\r\n4\r\nefgh\r\n"),
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{running.url}/v1/audio/speech", json={"model": "m", "input": "hello"})
        found = rows(running, database_url, "outcome", "error_code", "characters", "cost_nano_usd")

    assert found == [("provider_error", "provider_unreachable", 5, 75_000)]
