"""Usage is read as each provider means it: the totals decide what is on top, and parts stay inside their wholes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.report import Report, read_text_report
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, USAGE_DIALECTS, UsageDialect, cut_to_wholes, usage_dialect_of
from hero_broker.settings.known_providers import KNOWN_PROVIDERS, KnownProvider

OTHER = "https://gateway.example/v1"


def report_of(provider: str, usage: dict[str, object], url: str = OTHER) -> Report:
    body = json.dumps({"choices": [], "usage": usage}).encode()
    return read_text_report(body, usage_dialect_of(provider, url))


def reported(prompt: int, completion: int, total: object = None, **members: object) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        **({} if total is None else {"total_tokens": total}),
        **members,
    }


def thinking(tokens: int) -> dict[str, int]:
    return {"reasoning_tokens": tokens}


@pytest.mark.parametrize(
    ("provider", "usage", "expected"),
    [
        pytest.param(
            "x-ai",
            reported(10, 2, 112, completion_tokens_details=thinking(100)),
            Usage(10, 102, reasoning_tokens=100),
            id="xAI: reasoning is on top",
        ),
        pytest.param(
            "x-ai",
            reported(10, 2, completion_tokens_details=thinking(100)),
            Usage(10, 102, reasoning_tokens=100),
            id="xAI without a total",
        ),
        pytest.param(
            "x-ai",
            reported(10, 102, 112, completion_tokens_details=thinking(100)),
            Usage(10, 102, reasoning_tokens=100),
            id="xAI: a total that says inside",
        ),
        pytest.param(
            "p",
            reported(10, 2, 112, completion_tokens_details=thinking(100)),
            Usage(10, 102, reasoning_tokens=100),
            id="any provider: the total decides",
        ),
        pytest.param(
            "openai",
            reported(10, 102, 112, completion_tokens_details=thinking(100)),
            Usage(10, 102, reasoning_tokens=100),
            id="OpenAI: reasoning is inside",
        ),
        pytest.param("google", reported(10, 5, 115), Usage(10, 105, reasoning_tokens=100), id="Google: only the total"),
        pytest.param(
            "google",
            reported(10, 5, 115, completion_tokens_details=thinking(100)),
            Usage(10, 105, reasoning_tokens=100),
            id="Google: named, and on top",
        ),
        pytest.param(
            "google",
            reported(10, 65, 115, completion_tokens_details=thinking(60)),
            Usage(10, 105, reasoning_tokens=60),
            id="Google: some inside, the rest not named",
        ),
        pytest.param("google", reported(10, 5, 15), Usage(10, 5), id="Google without thinking"),
        pytest.param(
            "perplexity",
            reported(10, 100, 110, reasoning_tokens=1000, citation_tokens=200, num_search_queries=10),
            Usage(210, 1100, reasoning_tokens=1000, web_searches=10),
            id="Perplexity: not in the total",
        ),
        pytest.param(
            "perplexity",
            reported(10, 100, 1310, reasoning_tokens=1000, citation_tokens=200, num_search_queries=10),
            Usage(210, 1100, reasoning_tokens=1000, web_searches=10),
            id="Perplexity: in the total",
        ),
        pytest.param(
            "perplexity",
            reported(10, 100, 110, reasoning_tokens=None, citation_tokens=0, num_search_queries=0),
            Usage(10, 100, web_searches=0),
            id="Perplexity without searches",
        ),
        pytest.param("moonshotai", reported(20, 5, 25, cached_tokens=10), Usage(20, 5, 10), id="Moonshot"),
        pytest.param("together", reported(20, 5, 25, cached_tokens=10), Usage(20, 5, 10), id="Together"),
        pytest.param("huggingface", reported(20, 5, 25, cached_tokens=10), Usage(20, 5, 10), id="Hugging Face"),
        pytest.param(
            "moonshotai",
            reported(20, 5, 25, cached_tokens=10, prompt_tokens_details={"cached_tokens": 8}),
            Usage(20, 5, 8),
            id="OpenAI's member comes first",
        ),
        pytest.param(
            "deepseek",
            reported(20, 5, 25, prompt_cache_hit_tokens=12, prompt_cache_miss_tokens=8),
            Usage(20, 5, 12),
            id="DeepSeek",
        ),
        pytest.param(
            "deepseek",
            reported(20, 5, 25, prompt_cache_hit_tokens=12, prompt_tokens_details={"cached_tokens": 0}),
            Usage(20, 5, 12),
            id="DeepSeek: OpenAI's member is 0",
        ),
        pytest.param("openai", reported(20, 5, 25, cached_tokens=10), Usage(20, 5), id="OpenAI has no such member"),
        pytest.param(
            "dashscope",
            reported(20, 5, 25, prompt_tokens_details={"cached_tokens": 0, "cache_creation_input_tokens": 12}),
            Usage(20, 5, 0, 12),
            id="Alibaba: cache writes",
        ),
        pytest.param(
            "p",
            reported(20, 5, 25, prompt_tokens_details={"cached_tokens": 0, "cache_creation_input_tokens": 12}),
            Usage(20, 5, 0),
            id="nobody else has Alibaba's cache writes",
        ),
        pytest.param(
            "mistral",
            reported(9, 10, 394, prompt_tokens_details={"audio_tokens": 375}),
            Usage(384, 10, audio_input_tokens=375),
            id="Mistral: audio is on top of the prompt",
        ),
        pytest.param(
            "mistral",
            reported(9, 10, 394, prompt_tokens_details={"audio_tokens": 375}, prompt_audio_seconds=30),
            Usage(384, 10, audio_input_tokens=375, audio_ms=30_000),
            id="Mistral: seconds of audio",
        ),
        pytest.param("mistral", reported(9, 10, 19, prompt_audio_seconds={}), Usage(9, 10), id="Mistral without audio"),
        pytest.param(
            "p",
            reported(
                9,
                10,
                494,
                prompt_tokens_details={"audio_tokens": 375},
                completion_tokens_details=thinking(100),
            ),
            Usage(384, 110, audio_input_tokens=375, reasoning_tokens=100),
            id="audio and reasoning are on top",
        ),
        pytest.param(
            "p",
            reported(
                9, 10, 49, prompt_tokens_details={"image_tokens": 7}, completion_tokens_details={"audio_tokens": 30}
            ),
            Usage(9, 40, audio_output_tokens=30, image_input_tokens=7),
            id="audio output is on top, images are inside",
        ),
        pytest.param(
            "p",
            reported(9, 10, 19, completion_tokens_details={"image_tokens": 6}),
            Usage(9, 10, image_output_tokens=6),
            id="images of the output",
        ),
        pytest.param("p", reported(4, 2, "6"), Usage(4, 2), id="a total that is a string decides nothing"),
    ],
)
def test_usage_is_read_as_the_provider_means_it(provider: str, usage: dict[str, object], expected: Usage) -> None:
    report = report_of(provider, usage)

    assert (report.usage, report.cut_parts, report.unexplained_tokens) == (expected, (), 0)


@pytest.mark.parametrize(
    ("provider", "usage", "expected", "unexplained"),
    [
        pytest.param("p", reported(10, 5, 115), Usage(10, 5), 100, id="beyond all parts"),
        pytest.param("p", reported(10, 5, 12), Usage(10, 5), -3, id="less than its parts"),
        pytest.param("google", reported(10, 5, 12), Usage(10, 5), -3, id="less than its parts at Google"),
        pytest.param(
            "p",
            reported(10, 5, 115, completion_tokens_details=thinking(3)),
            Usage(10, 5, reasoning_tokens=3),
            100,
            id="no sum of parts",
        ),
        pytest.param(
            "perplexity",
            reported(10, 100, 150, reasoning_tokens=20),
            Usage(10, 120, reasoning_tokens=20),
            40,
            id="Perplexity",
        ),
    ],
)
def test_rest_of_a_total_is_counted_and_not_billed(
    provider: str, usage: dict[str, object], expected: Usage, unexplained: int
) -> None:
    report = report_of(provider, usage)

    assert (report.usage, report.unexplained_tokens) == (expected, unexplained)


@pytest.mark.parametrize(
    ("usage", "expected", "cut_parts"),
    [
        pytest.param(
            reported(9, 10, 19, prompt_tokens_details={"audio_tokens": 375}),
            Usage(9, 10, audio_input_tokens=9),
            ("audio_input_tokens",),
            id="one part",
        ),
        pytest.param(
            reported(9, 10, 19, prompt_tokens_details={"cached_tokens": 5, "cache_write_tokens": 6}),
            Usage(9, 10, 5, 4),
            ("cache_write_tokens",),
            id="read and written are disjoint",
        ),
        pytest.param(
            reported(9, 10, 19, prompt_tokens_details={"cached_tokens": 9, "audio_tokens": 9}),
            Usage(9, 10, 9, audio_input_tokens=9),
            (),
            id="cached audio is both",
        ),
        pytest.param(
            reported(9, 10, 19, completion_tokens_details={"reasoning_tokens": 8, "audio_tokens": 4}),
            Usage(9, 10, reasoning_tokens=8, audio_output_tokens=2),
            ("audio_output_tokens",),
            id="reasoning and audio are disjoint",
        ),
    ],
)
def test_parts_are_cut_to_their_whole(usage: dict[str, object], expected: Usage, cut_parts: tuple[str, ...]) -> None:
    report = report_of("p", usage)

    assert (report.usage, report.cut_parts) == (expected, cut_parts)


def test_part_of_a_part_is_cut_too() -> None:
    usage = Usage(10, 1, cached_input_tokens=4, cache_write_tokens=9, cache_write_1h_tokens=8)

    cut, names = cut_to_wholes(usage)

    assert cut == Usage(10, 1, cached_input_tokens=4, cache_write_tokens=6, cache_write_1h_tokens=6)
    assert names == ("cache_write_tokens", "cache_write_1h_tokens")


@given(st.lists(st.none() | st.integers(0, 9), min_size=16, max_size=16))
def test_cut_usage_is_not_cut_again(counts: list[int | None]) -> None:
    usage, _ = cut_to_wholes(Usage(*counts))

    assert cut_to_wholes(usage) == (usage, ())


@pytest.mark.parametrize("value", ["7", -1, MAX_UNITS + 1, 1.5])
def test_implausible_count_of_a_dialect_is_no_usage(value: object) -> None:
    usage = reported(10, 5, 15, citation_tokens=value)

    assert report_of("perplexity", usage).usage is None
    assert report_of("p", usage).usage == Usage(10, 5)


def test_sum_beyond_the_bound_is_no_usage() -> None:
    usage = reported(10, MAX_UNITS, reasoning_tokens=1)

    assert report_of("perplexity", usage).usage is None


@pytest.mark.parametrize("known", KNOWN_PROVIDERS, ids=lambda known: known.name)
def test_known_provider_has_one_dialect_by_its_name_and_by_its_url(known: KnownProvider) -> None:
    by_url = usage_dialect_of("other", known.base_url + "/chat/completions")

    assert usage_dialect_of(known.name, OTHER) is by_url


@pytest.mark.parametrize(
    ("provider", "url", "name"),
    [
        ("mine", "https://api.x.ai/v1/chat/completions", "x-ai"),
        ("mine", "https://eu-west-1.api.x.ai/v1", "x-ai"),
        ("mine", "https://x.ai:8443/v1", "x-ai"),
        ("X-AI", OTHER, "x-ai"),
        ("google", "https://api.x.ai/v1", "x-ai"),
        ("mine", "https://notx.ai/v1", None),
        ("mine", "https://x.ai.example/v1", None),
        ("mine", "http://[::1", None),
        ("mine", "", None),
    ],
)
def test_host_of_the_url_comes_before_the_name(provider: str, url: str, name: str | None) -> None:
    dialect = usage_dialect_of(provider, url)

    assert dialect is OPENAI_USAGE if name is None else name in dialect.names


@pytest.mark.parametrize("dialect", USAGE_DIALECTS, ids=lambda dialect: dialect.names[0])
def test_every_line_of_a_dialect_has_its_source(dialect: UsageDialect) -> None:
    sources = [member.source for member in dialect.members]
    if dialect.is_reasoning_on_top or dialect.is_rest_output:
        sources.append(dialect.source)

    assert sources
    assert all(source.startswith("https://") for source in sources)
