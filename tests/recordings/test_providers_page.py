"""The page on providers is in step with the known providers, their recordings and the supplement."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

import hero_broker
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from tests.recordings.recording import recordings
from tests.recordings.test_recordings import OTHERS

ROOT = Path(hero_broker.__file__).parent
PAGE = (ROOT.parent / "docs" / "reference" / "providers.md").read_text()
SUPPLEMENT = tomllib.loads((ROOT / "pricing" / "supplement.toml").read_text(), parse_float=Decimal)
UNCONFIRMED = "## Rates that no source confirms"
LINES = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line[:2] == "| "]
ROWS = {found.group(1): cells for cells in LINES if (found := re.search(r"\(`([\w-]+)`\)$", cells[0]))}
TITLES = {name: cells[0].split(" (")[0] for name, cells in ROWS.items()}
LISTED_AS = {
    "web_searches_per_thousand": "web_searches_kcount",
    "file_searches_per_thousand": "storage_searches_kcount",
}
# Default rates that the provider's own page has, and no model of `genai-prices`.
ON_OWN_PAGE = {
    ("x-ai", "web_searches_per_thousand", Decimal(5)),
    ("x-ai", "file_searches_per_thousand", Decimal("2.5")),
}
OWN_PAGES = {
    "openai": "openai.com",
    "dashscope": "alibabacloud.com",
    "mistral": "mistralai",
    "x-ai": "x.ai",
    "cohere": "cohere.com",
    "voyageai": "voyageai.com",
    "jina": "jina.ai",
    "sambanova": "sambanova.ai",
}


def test_page_has_a_row_for_each_provider_in_their_order() -> None:
    known = [provider.name for provider in KNOWN_PROVIDERS]

    assert list(ROWS)[: len(known)] == known
    assert set(list(ROWS)[len(known) :]) == OTHERS


def test_rows_say_what_the_recordings_say() -> None:
    for name, cells in ROWS.items():
        own = [one for one in recordings() if one.provider == name]
        _, kinds, _, _, _, checked, shape = cells

        assert set(kinds.split(", ")) == {one.kind for one in own}, name
        assert checked == own[0].checked.isoformat(), name
        assert tuple(re.findall(r"\]\(([^)]+)\)", shape)) == own[0].sources, name
        assert shape.startswith("its own pages: " if own[0].own_reference else "also others: "), name


def test_every_cell_of_a_row_says_something() -> None:
    assert {len(cells) for cells in ROWS.values()} == {7}
    assert all(cell for cells in ROWS.values() for cell in cells)


def listed_rates(provider: str) -> set[tuple[str, Decimal]]:
    """Return the rates for searches that genai-prices has for any model of a provider."""
    (found,) = (one for one in get_snapshot().providers if one.id == provider)
    prices = [
        price
        for model in found.models
        for price in ([model.prices] if isinstance(model.prices, ModelPrice) else [one.prices for one in model.prices])
    ]
    return {
        (ours, Decimal(rate))
        for price in prices
        for ours, theirs in LISTED_AS.items()
        if isinstance(rate := vars(price).get(theirs), int | Decimal)
    }


def test_default_rates_that_nothing_confirms_are_named() -> None:
    named = {(cells[0], cells[1].strip("`"), cells[2]) for cells in LINES if cells[2].startswith("`web_searches_per_")}
    unconfirmed = {
        (TITLES[table["provider"]], table.get("models", "*"), f"`{name}` {table[name]}")
        for table in SUPPLEMENT["defaults"]
        for name in LISTED_AS
        if name in table
        and (name, Decimal(table[name])) not in listed_rates(table["provider"])
        and (table["provider"], name, Decimal(table[name])) not in ON_OWN_PAGE
    }

    assert unconfirmed == named


def test_providers_whose_prices_are_from_pages_of_others_are_named() -> None:
    section = PAGE[PAGE.index("Whole prices in the supplement") :]
    named = {cells[0] for cells in LINES if f"| {cells[0]} | {cells[1]} |" in section} - {"Provider", "---"}
    of_others = {
        table["provider"]
        for table in SUPPLEMENT["prices"]
        if OWN_PAGES.get(table["provider"], table["provider"])
        not in "/".join(urlsplit(table["source"])[1:3]).split("/blob/")[0]
    }

    assert {TITLES[provider] for provider in of_others} == named
