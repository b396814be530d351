"""The defaults and bounds that `docs/reference/settings.md` prints are those of the program."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

import pytest

from hero_broker.settings import Settings, SettingsError, load
from hero_broker.settings.model import (
    BillingSettings,
    ModelSettings,
    PriceSettings,
    ResponsesSettings,
    ServerSettings,
    UpstreamSettings,
)
from hero_broker.settings.toml_table import MAX_PRICE_PLACES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
SECTION = re.compile(r"^## `\[+([\w.]+)\]+`\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (?:(integer|seconds|price|number)(?:, (.*?))?) \| ", re.MULTILINE)
NUMBER = r"`?([\w.^,]+)`?"
MAX_PRICE = re.compile(rf"^Each is a number with at most (\d+) decimal places, from 0 to {NUMBER} unless", re.MULTILINE)
MODEL = '[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1/v1"\n[[models]]\nname = "m"\nprovider = "p"\n'
PRICE_STEP = Decimal(1).scaleb(-MAX_PRICE_PLACES)
STEPS = {"integer": Decimal(1), "seconds": Decimal("0.0001"), "price": PRICE_STEP, "number": PRICE_STEP}


@dataclass(frozen=True)
class NumericKey:
    """A row of the page: a key whose value is a number."""

    table: str
    name: str
    default: str
    form: str
    least: Decimal
    most: Decimal

    def text(self, value: Decimal) -> str:
        """Return a settings file in which the key has this value."""
        line = f"{self.name} = {value:f}\n"
        if self.table == "models":
            return f"{MODEL}{line}"
        if self.table != "models.price":
            return f"[{self.table}]\n{line}"
        other = "per_gpu_second" if self.name == "gpus" else "per_request"  # a minimum or a number is no price alone
        rate = "" if self.name == other else f"{other} = 1\n"
        return f"{MODEL}[models.price]\n{rate}{line}"

    def value(self, settings: Settings) -> object:
        """Return the value that the program reads."""
        if self.table == "models":
            return getattr(settings.models[0], self.name)
        if self.table == "models.price":
            return getattr(settings.models[0].price, self.name)
        return getattr(getattr(settings, self.table), self.name)


def number(text: str) -> Decimal:
    """Return a number as the page writes it: `0.001`, `1,000,000`, `20_000_000`, `10^12`, or another key's default."""
    if text == "total_timeout_s":
        return Decimal(UpstreamSettings().total_timeout_s)
    base, _, power = text.replace(",", "").partition("^")
    return Decimal(base) ** int(power or 1)


def numeric_keys() -> Iterator[NumericKey]:
    page = PAGE.read_text()
    price = MAX_PRICE.search(page)
    assert price is not None
    assert int(price.group(1)) == MAX_PRICE_PLACES
    for table, section in SECTION.findall(page):
        for name, default, form, bounds in ROW.findall(section):
            least, most = "0", price.group(2)
            if bounds:
                parsed = re.fullmatch(rf"(?:{NUMBER} to|at most) {NUMBER}", bounds)
                assert parsed is not None, f"{name}: {bounds}"
                least, most = parsed.group(1) or "0", parsed.group(2)
            yield NumericKey(table, name, default, form, number(least), number(most))


KEYS = [pytest.param(key, id=f"{key.table}.{key.name}") for key in numeric_keys()]


def load_text(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return load(config=path, environ={"HERO_BROKER_STATE_DIR": str(tmp_path)})


def test_page_has_the_bounds_of_each_number_of_the_settings() -> None:
    tables = {
        "server": ServerSettings,
        "upstream": UpstreamSettings,
        "billing": BillingSettings,
        "responses": ResponsesSettings,
        "models": ModelSettings,
        "models.price": PriceSettings,
    }
    numbers = [
        (table, field.name)
        for table, settings in tables.items()
        for field in fields(settings)
        if field.type in (int, float, int | None, Decimal | None)
    ]

    assert len(numbers) > 25
    assert sorted((key.table, key.name) for key in numeric_keys()) == sorted(numbers)


@pytest.mark.parametrize("key", KEYS)
def test_default_is_the_printed_one(tmp_path: Path, key: NumericKey) -> None:
    if key.table == "models.price":
        other = "input_per_million" if key.name == "per_request" else "per_request"
        default = key.value(load_text(tmp_path, f"{MODEL}[models.price]\n{other} = 1\n"))
        printed = None
        assert key.default == "none"
    elif key.table == "models":
        default, printed = key.value(load_text(tmp_path, MODEL)), None
        assert key.default == "none"
    else:
        default = key.value(load_text(tmp_path, ""))
        share = "three quarters of `max_calls`, rounded up"
        printed = Decimal(750) if key.default == share else number(key.default.split("`")[1].replace("_", ""))

    assert default == printed


@pytest.mark.parametrize("key", KEYS)
def test_printed_bounds_are_accepted(tmp_path: Path, key: NumericKey) -> None:
    for value in (key.least, key.most):
        read = key.value(load_text(tmp_path, key.text(value)))

        assert Decimal(str(read)) == value


@pytest.mark.parametrize("key", KEYS)
def test_values_beyond_the_printed_bounds_are_faults(tmp_path: Path, key: NumericKey) -> None:
    step = STEPS[key.form]
    for value in (key.least - step, key.most + step):
        with pytest.raises(SettingsError) as caught:
            load_text(tmp_path, key.text(value))

        place = key.table.replace("models", "models[0]")
        assert [fault.key for fault in caught.value.faults] == [f"{place}.{key.name}"]
