"""The arithmetic of the benchmark of estimates, and what it must find in a few chats."""

import pytest

from hero_broker.kinds.families import FAMILIES, UNKNOWN, family_of
from tests.benchmarks.estimates import FITS, Fit, chats, errors, png_size
from tests.kinds.test_attachments import data_url, png

GPT_4O, GPT_4O_MINI, CLAUDE = FITS[0], FITS[1], FITS[6]


def message(*texts: str) -> dict[str, object]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("fit", "true"),
    [
        pytest.param(GPT_4O, 5 + 7.4 + 0.229 * 30 + 0.115 * 21 + 9, id="gpt-4o"),
        pytest.param(CLAUDE, 6 + 8 + 0.204 * 30 + 0.867 * 21 + 318, id="claude"),
    ],
)
def test_true_count_is_the_formula_of_the_fit(fit: Fit, true: float) -> None:
    chat = {"messages": [message("a" * 10, "ü" * 5), message("b" * 10)], "tools": [{"type": "function"}]}

    assert fit.true_tokens(chat) == pytest.approx(true)


@pytest.mark.parametrize(
    ("fit", "width", "height", "true"),
    [
        pytest.param(GPT_4O, 2048, 4096, 1105, id="OpenAI's second example"),
        pytest.param(GPT_4O_MINI, 1024, 1024, 25_501, id="gpt-4o-mini"),
        pytest.param(CLAUDE, 1000, 1000, 1333.3, id="Anthropic's example"),
        pytest.param(CLAUDE, 3000, 3000, 1600, id="largest"),
    ],
)
def test_images_have_the_documented_tokens(fit: Fit, width: int, height: int, true: float) -> None:
    assert png_size(data_url(png(width, height))) == (width, height)
    assert fit.image_tokens(width, height) == pytest.approx(true, abs=0.1)


def test_chats_are_the_same_for_the_same_seed() -> None:
    first, again, other = (list(chats(seed, 3, with_tools=True, with_images=True)) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert all("tools" in chat for chat in first)


def test_every_family_has_its_fit() -> None:
    assert [family_of(fit.model) for fit in FITS] == list(FAMILIES)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.model)
def test_chats_with_tools_are_estimated_within_thirty_percent(fit: Fit) -> None:
    middle, _ = errors(fit, family_of(fit.model), list(chats(1, 20, with_tools=True)))

    assert middle <= 0.3


def test_rule_for_unknown_families_would_miss_claudes_tools() -> None:
    middle, _ = errors(CLAUDE, UNKNOWN, list(chats(1, 20, with_tools=True)))

    assert middle > 0.4
