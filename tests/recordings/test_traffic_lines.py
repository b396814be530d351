"""The faults that were once seen in recorded traffic stay mended, for whole answers and for streams.

2,535 recorded exchanges of 31 providers were once played through the broker. Each line is a way in which bills went
wrong there, with the smallest input that shows it. The number begins the id of its tests.

| Line | Fault | Right |
| --- | --- | --- |
| 1 | a name goes to the wrong provider | the provider that it names |
| 2 | reasoning on top of the completion (xAI) | 102 out, 54,000 nano-USD |
| 3 | thinking only in the total (Google) | 105 out, 265,500 |
| 4 | the operator's own key at an aggregator (OpenRouter) | fee and cost, 4,200,000 |
| 5 | the tier that served | priority, 220,000 |
| 6 | another model answers (aliases, Azure's deployments) | the answering model's price |
| 7 | a cost in an object (Perplexity) or in ticks (xAI) | 5,020,000; a tenth of the ticks |
| 8 | units at the top of the usage (Perplexity) | 54,220,000 |
| 9 | cached tokens beside the prompt's (Moonshot, Together, Hugging Face) | 11,100 |
| 10 | audio on top of the prompt (Mistral) | 384 in, of which 375 audio |
| 11 | models of an aggregator that no list has | served, at the cost that the answer says |
| 12 | errors that lose what clients act on | the member, without keys |
| 13 | text that is sent twice (Together) | 50 tokens |
| 14 | content as an array of parts (Mistral) | 51 tokens |

Line 15, estimates of tools, is in the tests of `metering`. `tests/recordings/data` names the lines that it shows too.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from hero_broker.core.records import RequestLog
from hero_broker.core.usage import Usage
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.routes import Route, Routes
from tests.data_plane.scripted import Head, Play, Script
from tests.recordings.player import CATALOGUE, KEY, content_type, pieces, play_script, provider_of
from tests.recordings.recording import recordings

STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
OWN = Tariff.fixed(Price(Decimal(1), Decimal(1)), is_override=True)
SEEN_IN_DATA = {2, 4, 6, 7, 8, 10, 11}
PATHS = {"chat": "/v1/chat/completions", "rerank": "/v1/rerank", "embedding": "/v1/embeddings"}
ASKS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "a few words"}]},
    "rerank": {"query": "bill", "documents": ["a bill"]},
    "embedding": {"input": "a few words"},
}


def reported(prompt: int, completion: int, total: int | None = None, **members: object) -> dict[str, object]:
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **members}


def message(**members: object) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", **members}, "finish_reason": "stop"}


def delta(**members: object) -> dict[str, Any]:
    return {"index": 0, "delta": {"role": "assistant", **members}, "finish_reason": None}


def whole_answer(answer: dict[str, Any]) -> bytes:
    return json.dumps({"choices": [message(content="a")], **answer}).encode()


def stream_of(*events: dict[str, Any]) -> bytes:
    data = [*map(json.dumps, events), "[DONE]"]
    return "".join(f"data: {one}\n\n" for one in data).encode()


def streamed_answer(answer: dict[str, Any]) -> bytes:
    beside = {name: value for name, value in answer.items() if name != "usage"}
    return stream_of(
        {**beside, "choices": [delta(content="a")]},
        {**beside, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**answer, "choices": []},
    )


def call(way: Route, answer: bytes, *, stream: bool, kind: str = "chat") -> tuple[RequestLog, Play]:
    """Return the row of a call, and all that it met."""
    request = json.dumps({**ASKS[kind], "model": way.model, **({"stream": True} if stream else {})}).encode()
    script: Script = [Head(content_type=content_type(is_stream=stream)), *pieces(answer, f"{way.model} {len(answer)}")]
    return play_script(script, way, request, kind, PATHS[kind])


def billed(way: Route, answer: dict[str, Any], *, stream: bool, kind: str = "chat") -> RequestLog:
    body = streamed_answer(answer) if stream else whole_answer(answer)
    return call(way, body, stream=stream, kind=kind)[0]


def routes(*providers: str) -> Routes:
    return Routes([], [provider_of(name) for name in providers], CATALOGUE)


def way_to(provider: str, model: str, tariff: Tariff | None = None) -> Route:
    return Route.to(model, None, provider_of(provider), model, (), tariff or CATALOGUE.tariff(provider, model))


@dataclass(frozen=True)
class Line:
    """A fault of recorded traffic, as one call."""

    id: str
    provider: str
    model: str
    answer: dict[str, Any]
    usage: Usage
    cost_nano_usd: int
    cost_source: str = "price"
    tariff: Tariff | None = field(default=None, repr=False)


@STREAMS
@pytest.mark.parametrize(
    ("providers", "name", "provider"),
    [
        pytest.param(["google", "openrouter"], "openrouter/anthropic/claude-sonnet-4", "openrouter", id="line 1"),
        pytest.param(["together", "moonshotai"], "kimi-k3", "moonshotai", id="line 1: a name in another case"),
        pytest.param(["google", "anthropic"], "anthropic/claude-sonnet-4-5", "anthropic", id="line 1: that two have"),
    ],
)
def test_name_goes_to_the_provider_that_it_names(providers: list[str], name: str, provider: str, stream: bool) -> None:
    way = routes(*providers).get(name)
    assert way is not None

    row = billed(way, {"usage": reported(40, 3, cost=0.001)}, stream=stream)

    assert (row.provider, row.usage_source) == (provider, "reported")


LINES = (
    Line(
        "line 2",
        "x-ai",
        "grok-3-mini",
        {"usage": reported(10, 2, 112, completion_tokens_details={"reasoning_tokens": 100})},
        Usage(10, 102, reasoning_tokens=100),
        54_000,  # 10 × 300 + 102 × 500
    ),
    Line(
        "line 3",
        "google",
        "gemini-2.5-flash",
        {"usage": reported(10, 5, 115)},
        Usage(10, 105, reasoning_tokens=100),
        265_500,  # 10 × 300 + 105 × 2,500
    ),
    Line(
        "line 4",
        "openrouter",
        "openai/gpt-4o-mini",
        {"usage": reported(40, 3, cost=0, is_byok=True, cost_details={"upstream_inference_cost": 0.0042})},
        Usage(40, 3),
        4_200_000,
        "provider",
    ),
    Line(
        "line 5",
        "openai",
        "gpt-5",
        {"service_tier": "priority", "usage": reported(8, 10)},
        Usage(8, 10),
        220_000,  # 8 × 2,500 + 10 × 20,000
    ),
    Line(
        "line 6",
        "deepseek",
        "deepseek-reasoner",
        {"model": "deepseek-v4-flash", "usage": reported(1000, 1000)},
        Usage(1000, 1000),
        750_000,  # 1,000 × 150 + 1,000 × 600
    ),
    Line(
        "line 6: Azure",
        "azure",
        "a-deployment",
        {"model": "gpt-4o-mini-2024-07-18", "usage": reported(1000, 1000)},
        Usage(1000, 1000),
        750_000,  # 1,000 × 150 + 1,000 × 600
    ),
    Line(
        "line 6: the operator's price",
        "deepseek",
        "deepseek-reasoner",
        {"model": "deepseek-v4-flash", "usage": reported(1000, 1000)},
        Usage(1000, 1000),
        2_000_000,  # 2,000 × 1,000
        tariff=OWN,
    ),
    Line(
        "line 7",
        "perplexity",
        "sonar",
        {"usage": reported(10, 10, cost={"total_cost": 0.00502, "request_cost": 0.005})},
        Usage(10, 10),
        5_020_000,
        "provider",
    ),
    Line(
        "line 7: ticks",
        "x-ai",
        "grok-4.20",
        {"usage": reported(10, 10, cost_in_usd_ticks=37_756_000)},
        Usage(10, 10),
        3_775_600,
        "provider",
    ),
    Line(
        "line 8",
        "perplexity",
        "sonar-deep-research",
        {"usage": reported(10, 100, reasoning_tokens=1000, citation_tokens=200, num_search_queries=10)},
        Usage(210, 1100, reasoning_tokens=1000, web_searches=10),
        54_220_000,  # 210 × 2,000 + 100 × 8,000 + 1,000 × 3,000 + 10 × 5,000,000
    ),
    Line(
        "line 9",
        "moonshotai",
        "kimi-k2.6",
        {"usage": reported(20, 0, cached_tokens=10)},
        Usage(20, 0, 10),
        11_100,  # 10 × 950 + 10 × 160
    ),
    Line(
        "line 9: Together",
        "together",
        "MiniMaxAI/MiniMax-M3",
        {"usage": reported(20, 0, cached_tokens=10)},
        Usage(20, 0, 10),
        3_600,  # 10 × 300 + 10 × 60
    ),
    Line(
        "line 9: Hugging Face",
        "huggingface",
        "m",
        {"usage": reported(20, 0, cached_tokens=10)},
        Usage(20, 0, 10),
        11_000,  # 10 × 1,000 + 10 × 100
        tariff=Tariff.fixed(Price(Decimal(1), Decimal(1), cached_input_per_million=Decimal("0.1")), is_override=True),
    ),
    Line(
        "line 10",
        "mistral",
        "voxtral-small-24b-2507",
        {"usage": reported(9, 10, 394, prompt_tokens_details={"audio_tokens": 375})},
        Usage(384, 10, audio_input_tokens=375),
        42_400,  # 384 × 100 + 10 × 400: no duration is reported
    ),
)


@STREAMS
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.id)
def test_usage_and_cost_are_right(line: Line, stream: bool) -> None:
    row = billed(way_to(line.provider, line.model, line.tariff), line.answer, stream=stream)

    assert Usage(**{unit: getattr(row, unit) for unit in Usage.__struct_fields__}) == line.usage
    assert (row.cost_nano_usd, row.cost_source) == (line.cost_nano_usd, line.cost_source)
    assert row.usage_source == "reported"


@pytest.mark.parametrize(
    ("model", "kind", "stream"),
    [
        pytest.param("openai/text-embedding-3-small", "embedding", False, id="line 11: embedding"),
        pytest.param("somebody/new-model:free", "chat", False, id="line 11: free, whole"),
        pytest.param("somebody/new-model:free", "chat", True, id="line 11: free, stream"),
        pytest.param("openai/gpt-9-2026-11-01", "chat", True, id="line 11: dated name"),
        pytest.param("cohere/rerank-9", "rerank", False, id="line 11: rerank"),
    ],
)
def test_models_of_an_aggregator_that_no_list_has_cost_what_their_answer_says(
    model: str, kind: str, stream: bool
) -> None:
    way = routes("openrouter").get(model)
    assert way is not None
    assert way.tariff is None
    usd = 0 if model.endswith(":free") else 0.00000016

    row = billed(way, {"usage": reported(8, 0, cost=usd)}, stream=stream, kind=kind)

    assert (row.provider, row.upstream_model, row.cost_source) == ("openrouter", model, "provider")
    assert row.cost_nano_usd == (0 if model.endswith(":free") else 160)


ERRORS = [
    pytest.param("groq", {"failed_generation": '{"name": "f", "arguments": {'}, id="line 12: Groq"),
    pytest.param("openrouter", {"metadata": {"raw": "the reason", "provider_name": "P"}}, id="line 12: OpenRouter"),
    pytest.param("azure", {"innererror": {"content_filter_result": {"hate": {"filtered": True}}}}, id="line 12: Azure"),
]


@pytest.mark.parametrize(("provider", "members"), ERRORS)
def test_error_keeps_what_clients_act_on(provider: str, members: dict[str, object]) -> None:
    error = {"message": f"m, and {KEY}", "code": 429, **members}
    script: Script = [Head(429), json.dumps({"error": error}).encode()]

    row, playing = play_script(script, way_to(provider, "m", OWN), json.dumps({**ASKS["chat"], "model": "m"}).encode())

    told = json.loads(playing.client.body)["error"]
    assert {name: told[name] for name in members} == members
    assert (told["message"], told["code"]) == ("m, and ***", "provider_429")
    assert (row.cost_nano_usd, row.error_code) == (0, "provider_429")


@pytest.mark.parametrize(("provider", "members"), ERRORS)
def test_error_in_a_stream_keeps_what_clients_act_on(provider: str, members: dict[str, object]) -> None:
    error = {"message": f"m, and {KEY}", "code": 429, **members}
    events = stream_of({"choices": [delta(content="a")]}, {"error": error, "choices": []})

    row, playing = call(way_to(provider, "m", OWN), events, stream=True)

    (told,) = [json.loads(line[6:])["error"] for line in playing.client.body.decode().split("\n") if '"error"' in line]
    assert {name: told[name] for name in members} == members
    assert KEY not in playing.client.body.decode()
    assert row.usage_source == "estimated"


@pytest.mark.parametrize(
    ("answer", "tokens", "stream"),
    [
        pytest.param(
            stream_of(*[{"choices": [{**delta(content="word "), "text": "word "}]} for _ in range(50)]),
            50,
            True,
            id="line 13: stream",
        ),
        pytest.param(
            json.dumps({"choices": [{**message(content="word " * 50), "text": "word " * 50}]}).encode(),
            50,
            False,
            id="line 13: whole",
        ),
        pytest.param(
            stream_of(
                {
                    "choices": [
                        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "word " * 50}]}])
                    ]
                },
                {"choices": [delta(content=[{"type": "text", "text": "ok"}])]},
            ),
            51,
            True,
            id="line 14: stream",
        ),
        pytest.param(
            whole_answer(
                {
                    "choices": [
                        message(
                            content=[
                                {"type": "thinking", "thinking": [{"type": "text", "text": "word " * 50}]},
                                {"type": "text", "text": "ok"},
                            ]
                        )
                    ]
                }
            ),
            51,
            False,
            id="line 14: whole",
        ),
    ],
)
def test_text_is_counted_once_where_nothing_is_reported(answer: bytes, tokens: int, stream: bool) -> None:
    row, _ = call(way_to("together", "m", OWN), answer, stream=stream)

    assert (row.output_tokens, row.usage_source) == (tokens, "estimated")
    assert row.cost_nano_usd == (row.input_tokens or 0) * 1000 + tokens * 1000


def test_recordings_show_the_lines_that_they_name() -> None:
    assert {line for recording in recordings() for line in recording.traffic_lines} == SEEN_IN_DATA
