"""genai-prices' own extractors and arithmetic, as a second opinion on each recording and each line of the traffic.

Where the package disagrees, `DIFFERENCES` says how, who is right, and why. A difference that is not listed fails, and
so does a listed one that is gone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from genai_prices import calc_price, extract_usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Usage as PackageUsage

from hero_broker.core.money import NANO
from hero_broker.core.usage import Usage
from tests.recordings.player import STARTED_AT
from tests.recordings.recording import recordings
from tests.recordings.test_traffic_lines import LINES

PROVIDERS = {provider.id: provider for provider in get_snapshot().providers}
FLAVORS = {
    "chat": ("chat", "default"),
    "embedding": ("embeddings", "default"),
    "rerank": ("default",),
    "messages": ("default",),
    "responses": ("responses",),
}
# The package's names of units, and ours.
UNITS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
    "input_audio_tokens": "audio_input_tokens",
    "output_audio_tokens": "audio_output_tokens",
    "web_searches": "web_searches",
}
# How the package may differ.
NO_EXTRACTOR = "no extractor"  # it does not read usage of this provider
REFUSED = "refused"  # its extractor finds no usage
USAGE = "usage"
NO_PRICE = "no price"
COST = "cost"


@dataclass(frozen=True)
class Case:
    """A call of which the package has an opinion."""

    id: str
    provider: str
    kind: str
    models: tuple[str, ...]  # the one that answered, if the answer names it, then the requested one
    answer: dict[str, Any]  # the event with the usage, the last one of a stream
    usage: Usage
    cost_nano_usd: int
    is_listed: bool  # not at the operator's own price
    service_tier: str | None = None


def cases() -> list[Case]:
    """Return the recordings, then the lines of the traffic."""
    found = []
    for one in recordings():
        events = one.events()
        answer = next((event for event in reversed(events) if event.get("usage")), events[-1])
        named = [name for event in events if (name := event.get("model"))]
        found.append(
            Case(
                one.file,
                one.provider,
                one.kind,
                (*named[:1], one.model),
                answer,
                one.usage,
                one.cost_nano_usd,
                one.own_price is None,
                one.service_tier,
            )
        )
    for line in LINES:
        models = (line.answer.get("model", line.model), line.model)
        tier = line.answer.get("service_tier")
        is_listed = line.tariff is None
        found.append(
            Case(line.id, line.provider, "chat", models, line.answer, line.usage, line.cost_nano_usd, is_listed, tier)
        )
    return found


def counts(usage: Usage) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {unit: value for unit in Usage.__struct_fields__ if (value := getattr(usage, unit))}


def extracted(case: Case) -> PackageUsage | str:
    """Return the usage that the package reads, or why it reads none."""
    provider = PROVIDERS.get(case.provider)
    known = [extractor.api_flavor for extractor in (provider.extractors if provider else None) or ()]
    flavor = next((name for name in FLAVORS[case.kind] if name in known), None)
    if flavor is None:
        return NO_EXTRACTOR
    try:
        return extract_usage(case.answer, provider_id=case.provider, api_flavor=flavor).usage
    except ValueError:
        return REFUSED


def cost_of(case: Case, usage: PackageUsage) -> int | None:
    """Return what the package calculates, in nano-USD; None if it has no price."""
    context = {"service_tier": case.service_tier} if case.service_tier else None
    for model in case.models:
        try:
            price = calc_price(
                usage,
                model,
                provider_id=case.provider,
                genai_request_timestamp=datetime.fromtimestamp(STARTED_AT, UTC),
                price_context=context,
            )
        except LookupError:
            continue
        return round(price.total_price * NANO)
    return None


def differences(case: Case) -> set[str]:
    """Return how the package differs; without usage of its own, it computes the cost of ours."""
    found = set()
    theirs = extracted(case)
    if isinstance(theirs, str):
        found.add(theirs)
        ours = counts(case.usage)
        theirs = PackageUsage(**{name: ours[unit] for name, unit in UNITS.items() if unit in ours})
    elif {UNITS.get(name, name): value for name, value in vars(theirs).items() if value} != counts(case.usage):
        found.add(USAGE)
    if case.is_listed:
        cost = cost_of(case, theirs)
        if cost is None:
            found.add(NO_PRICE)
        elif cost != case.cost_nano_usd:
            found.add(COST)
    return found


class Difference(NamedTuple):
    """How the package differs from the broker, and who is right."""

    how: set[str]
    right: str
    why: str


BROKER, BOTH = "broker", "both"
_UNKNOWN = "The package does not know this provider, and no list has the price: only the operator's own counts."
_SUPPLEMENT = "The package does not know this provider; its prices are from the supplement, and have no second opinion."
_PRICES_ONLY = "The package has prices of this provider, and no extractor; it agrees on the cost of the broker's usage."
_COHERE = "The extractors read Cohere's own shape, and this is that for OpenAI's clients; the cost is the same."
_THINKING = "Thinking is only in the total, which the extractor does not read."
_COST_OF_PROVIDER = "The provider says what the call cost, and the package computes a cost from its list."
_CITATIONS = "Citations are part of the input here and of the output there, at the same rate; the cost is the same."
_CACHED_BESIDE = "The extractor reads only prompt_tokens_details, and the cached tokens are beside it."
DIFFERENCES: dict[str, Difference] = {
    **dict.fromkeys(
        [
            "huggingface-chat.json",
            "huggingface-stream.sse",
            "jina-embedding.json",
            "llama-cpp-chat.json",
            "llama-cpp-stream.sse",
            "ollama-chat.json",
            "ollama-stream.sse",
            "vllm-chat.json",
            "vllm-stream.sse",
            "line 9: Hugging Face",
        ],
        Difference({NO_EXTRACTOR}, BROKER, _UNKNOWN),
    ),
    **dict.fromkeys(
        [
            "dashscope-thinking.json",
            "dashscope-stream.sse",
            "dashscope-embedding.json",
            "jina-rerank.json",
            "sambanova-chat.json",
            "sambanova-stream.sse",
            "voyageai-rerank.json",
        ],
        Difference({NO_EXTRACTOR, NO_PRICE}, BROKER, _SUPPLEMENT),
    ),
    **dict.fromkeys(
        [
            "novita-chat.json",
            "novita-stream.sse",
            "together-chat.json",
            "together-stream.sse",
            "voyageai-embedding.json",
            "line 9: Together",
        ],
        Difference({NO_EXTRACTOR}, BOTH, _PRICES_ONLY),
    ),
    **dict.fromkeys(
        ["cohere-chat.json", "cohere-stream.sse", "cohere-embedding.json"], Difference({REFUSED}, BROKER, _COHERE)
    ),
    "cohere-rerank.json": Difference(
        {REFUSED, NO_PRICE}, BROKER, "The package has neither usage nor prices of rerank."
    ),
    "groq-stream.sse": Difference({REFUSED}, BROKER, "The extractor does not read x_groq."),
    "anthropic-message.json": Difference(
        {USAGE},
        BOTH,
        "The package also has the cache writes of five minutes, which are the rest here; same cost.",
    ),
    "anthropic-messages.sse": Difference(
        {USAGE, COST}, BROKER, "Only the first event of the stream says which cache writes are kept for an hour."
    ),
    "openai-response.json": Difference(
        {USAGE, COST}, BROKER, "The extractor reads no searches, which are beside the usage and among the output."
    ),
    "moonshotai-messages.sse": Difference({NO_EXTRACTOR}, BOTH, _PRICES_ONLY),
    "moonshotai-stream.sse": Difference({REFUSED}, BROKER, "The extractor does not read the usage in a choice."),
    "openrouter-embedding.json": Difference(
        {REFUSED, NO_PRICE}, BROKER, "No list has the model; the provider says what the call cost."
    ),
    "cerebras-stream.sse": Difference(
        {USAGE}, BOTH, "The extractor does not read cached tokens, which cost what other input costs."
    ),
    **dict.fromkeys(["google-chat.json", "google-stream.sse", "line 3"], Difference({USAGE, COST}, BROKER, _THINKING)),
    "mistral-audio.json": Difference(
        {USAGE, COST}, BROKER, "The extractor reads no audio: neither its duration nor its tokens, which the total has."
    ),
    "line 10": Difference({USAGE, COST}, BROKER, "The extractor does not read audio that is on top of the prompt."),
    **dict.fromkeys(
        ["deepseek-stream.sse", "moonshotai-chat.json", "line 9"], Difference({USAGE, COST}, BROKER, _CACHED_BESIDE)
    ),
    **dict.fromkeys(["perplexity-stream.sse", "line 8"], Difference({USAGE}, BOTH, _CITATIONS)),
    **dict.fromkeys(
        ["perplexity-cost.json", "x-ai-ticks.json", "x-ai-response.json", "line 4", "line 7", "line 7: ticks"],
        Difference({COST}, BROKER, _COST_OF_PROVIDER),
    ),
}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_package_differs_only_as_listed(case: Case) -> None:
    listed = DIFFERENCES.get(case.id)

    assert differences(case) == (set() if listed is None else listed.how)


def test_every_difference_is_of_a_call_and_has_its_reason() -> None:
    assert DIFFERENCES.keys() <= {case.id for case in cases()}
    assert all(one.how and one.right in (BROKER, BOTH) and one.why.endswith(".") for one in DIFFERENCES.values())
