"""How providers report usage in ways of their own, as tables of data; `kinds.report` reads OpenAI's own members.

Each line names its source. Whether a part is inside its whole or on top of it, the totals decide: a part that the
total of the provider counts besides prompt and completion is on top.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.counts import ImplausibleError, count, details, milliseconds

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class UsageMember:
    """A member of `usage` that has a unit of its own."""

    name: str
    unit: str | None  # the field of `Usage`; None: only its whole has it
    source: str  # a URL
    whole: str | None = None  # it is on top of this count, whatever the total says; None: it is on top of none
    within: str | None = None  # the object in `usage` that has it; None: `usage` itself
    is_seconds: bool = False  # its unit is milliseconds


@dataclass(frozen=True, slots=True)
class UsageDialect:
    """How the usage of some providers differs from OpenAI's."""

    names: tuple[str, ...] = ()  # of the providers in the settings
    hosts: tuple[str, ...] = ()  # of their base URLs, and all hosts below them
    members: tuple[UsageMember, ...] = ()
    is_reasoning_on_top: bool = False  # if there is no total that decides
    is_rest_output: bool = False  # what the total has beyond all parts is output that is not listed
    source: str = ""  # a URL; of the two rules above


_MOONSHOT = "https://platform.kimi.ai/docs/api/chat"
_TOGETHER = "https://docs.together.ai/reference/chat-completions-1"
_HUGGING_FACE = "https://huggingface.co/docs/inference-providers/tasks/chat-completion"
_DEEPSEEK = "https://api-docs.deepseek.com/api/create-chat-completion"
_DASHSCOPE = "https://www.alibabacloud.com/help/en/model-studio/context-cache"
_MISTRAL = "https://docs.mistral.ai/capabilities/audio"
_PERPLEXITY = "https://docs.perplexity.ai/api-reference/chat-completions-post"

OPENAI_USAGE = UsageDialect()
USAGE_DIALECTS = (
    UsageDialect(
        ("moonshotai", "moonshot", "kimi"),
        ("moonshot.ai", "moonshot.cn", "kimi.ai"),
        (UsageMember("cached_tokens", "cached_input_tokens", _MOONSHOT),),
    ),
    UsageDialect(
        ("together", "togetherai", "together_ai"),
        ("together.xyz", "together.ai"),
        (UsageMember("cached_tokens", "cached_input_tokens", _TOGETHER),),
    ),
    UsageDialect(
        ("huggingface", "hugging-face"),
        ("huggingface.co", "huggingface.cloud"),
        (UsageMember("cached_tokens", "cached_input_tokens", _HUGGING_FACE),),
    ),
    UsageDialect(
        ("deepseek",),
        ("deepseek.com",),
        (UsageMember("prompt_cache_hit_tokens", "cached_input_tokens", _DEEPSEEK),),
    ),
    UsageDialect(
        ("dashscope", "alibaba", "qwen"),
        ("aliyuncs.com",),
        (UsageMember("cache_creation_input_tokens", "cache_write_tokens", _DASHSCOPE, within="prompt_tokens_details"),),
    ),
    UsageDialect(
        ("mistral", "mistralai"),
        ("mistral.ai",),
        (UsageMember("prompt_audio_seconds", "audio_ms", _MISTRAL, is_seconds=True),),
    ),
    UsageDialect(
        ("perplexity",),
        ("perplexity.ai",),
        (
            UsageMember("reasoning_tokens", "reasoning_tokens", _PERPLEXITY, whole="output_tokens"),
            UsageMember("citation_tokens", None, _PERPLEXITY, whole="input_tokens"),
            UsageMember("num_search_queries", "web_searches", _PERPLEXITY),
        ),
    ),
    UsageDialect(
        ("x-ai", "xai", "grok"),
        ("x.ai",),
        is_reasoning_on_top=True,
        source="https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528",
    ),
    UsageDialect(
        ("google", "gemini", "vertex", "google-vertex"),
        ("googleapis.com",),
        is_rest_output=True,
        source="https://github.com/mozilla-ai/any-llm/issues/1290",
    ),
)

# The parts that the total may count besides prompt and completion, and their wholes. Sources:
# reasoning at xAI, https://github.com/vercel/ai/issues/12425; audio input at Mistral,
# https://docs.mistral.ai/capabilities/audio; audio output by the same rule.
_PARTS_ON_TOP = (
    ("reasoning_tokens", "output_tokens"),
    ("audio_input_tokens", "input_tokens"),
    ("audio_output_tokens", "output_tokens"),
)

# Parts and their wholes. Parts that share a place are disjoint, and the later ones are cut first. Cached input may be
# audio or images too.
_PLACES = (
    ("input_tokens", ("cached_input_tokens", "cache_write_tokens")),
    ("input_tokens", ("audio_input_tokens", "image_input_tokens")),
    ("output_tokens", ("reasoning_tokens", "audio_output_tokens", "image_output_tokens")),
    ("cache_write_tokens", ("cache_write_1h_tokens",)),
)


class SettledUsage(msgspec.Struct, frozen=True):
    """Usage in which every part is inside its whole, and what was wrong with it as reported."""

    usage: Usage
    cut_parts: tuple[str, ...] = ()  # fields that were larger than their whole had room for
    unexplained_tokens: int = 0  # in the total beyond all parts, and not billed; negative if the total is too small


@lru_cache(maxsize=1024)
def usage_dialect_of(provider: str, url: str) -> UsageDialect:
    """Return the usage dialect of a provider, by the host of its URL or else by its name in the settings."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    for dialect in USAGE_DIALECTS:
        if any(host == known or host.endswith("." + known) for known in dialect.hosts):
            return dialect
    return next((dialect for dialect in USAGE_DIALECTS if provider.lower() in dialect.names), OPENAI_USAGE)


def settle_usage(usage: Usage, reported: Mapping[str, object], dialect: UsageDialect) -> SettledUsage:
    """Return usage with all that `reported` says of it in a provider's own way; parts end inside their wholes.

    Raises:
        ImplausibleError: a count of the dialect is no plausible number.
    """
    unexplained = 0
    if "prompt_tokens" in reported and usage.input_tokens is not None:
        total = _plain_total(reported.get("total_tokens"))
        extra = None if total is None else total - (usage.input_tokens or 0) - (usage.output_tokens or 0)
        usage, on_top = _with_members(usage, reported, dialect)
        usage, unexplained = _by_total(usage, extra, on_top, dialect)
    usage, cut_parts = cut_to_wholes(usage)
    if any((value or 0) > MAX_UNITS for value in (usage.input_tokens, usage.output_tokens)):
        raise ImplausibleError
    return SettledUsage(usage, cut_parts, unexplained)


def cut_to_wholes(usage: Usage) -> tuple[Usage, tuple[str, ...]]:
    """Cut every part to the room that its whole has; return the names of those that were cut."""
    changes: dict[str, int] = {}
    for whole, parts in _PLACES:
        room = changes.get(whole, getattr(usage, whole))
        if room is None:
            continue
        for name in parts:
            value: int | None = getattr(usage, name)
            if value is not None:
                if value > room:
                    value = changes[name] = room
                room -= value
    return (replace(usage, **changes) if changes else usage), tuple(changes)


def _plain_total(value: object) -> int | None:
    """Return the total; one that is no plausible number decides nothing."""
    return value if type(value) is int and 0 <= value <= MAX_UNITS else None


def _with_members(usage: Usage, reported: Mapping[str, object], dialect: UsageDialect) -> tuple[Usage, list[int]]:
    """Add what a dialect's own members report; return also the counts that they put on top."""
    changes: dict[str, int] = {}
    on_top: list[int] = []
    for member in dialect.members:
        value = _value_of(member, reported)
        # OpenAI's own member counts first, unless it is 0.
        if value is None or (member.unit is not None and getattr(usage, member.unit)):
            continue
        if member.unit is not None:
            changes[member.unit] = value
        if member.whole is not None and value:
            changes[member.whole] = changes.get(member.whole, getattr(usage, member.whole) or 0) + value
            on_top.append(value)
    return (replace(usage, **changes) if changes else usage), on_top


def _value_of(member: UsageMember, reported: Mapping[str, object]) -> int | None:
    """Return what `reported` has of a member; an object, such as the empty one, reports nothing."""
    value = (reported if member.within is None else details(reported, member.within)).get(member.name)
    if value is None or isinstance(value, dict):
        return None
    return milliseconds(value) if member.is_seconds else count(value)


def _by_total(usage: Usage, extra: int | None, on_top: list[int], dialect: UsageDialect) -> tuple[Usage, int]:
    """Put parts on top of their wholes as the total says; return also the tokens that it does not explain.

    `extra` is what the total has beyond prompt and completion, and `on_top` the counts that are on top already.
    """
    if on_top:
        explained = extra is None or any(extra == sum(some) for some in _subsets(on_top))
        return usage, 0 if explained else extra or 0
    parts = [(name, whole, value) for name, whole in _PARTS_ON_TOP if (value := getattr(usage, name))]
    if extra is None:
        extra = (usage.reasoning_tokens or 0) if dialect.is_reasoning_on_top else 0
    for some in _subsets(parts):
        if extra == sum(value for _, _, value in some):
            changes: dict[str, int] = {}
            for _, whole, value in some:
                changes[whole] = changes.get(whole, getattr(usage, whole) or 0) + value
            return (replace(usage, **changes) if changes else usage), 0
    if dialect.is_rest_output and extra > 0:
        reasoning = max(usage.reasoning_tokens or 0, extra)
        return replace(usage, output_tokens=(usage.output_tokens or 0) + extra, reasoning_tokens=reasoning), 0
    return usage, extra


def _subsets(items: list[Item]) -> Iterator[tuple[Item, ...]]:
    """Yield all subsets, the small ones first."""
    for size in range(len(items) + 1):
        yield from combinations(items, size)
