"""Reads one table of the settings file, and collects faults instead of stopping at the first."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import TypeVar

from hero_broker.settings.errors import Fault
from hero_broker.settings.validators import accept_one_of, quoted

T = TypeVar("T")

MAX_PRICE_PLACES = 12  # decimal places, so that sums of parts stay exact


class TomlTable:
    """A table of the file; a key that no method has read is unknown.

    A rejected value is recorded as a fault and replaced by the default, so that reading goes on.
    """

    def __init__(self, key: str, content: Mapping[str, object], faults: list[Fault]) -> None:
        self.key = key
        self.faults = faults
        self._content = content
        self._known: list[str] = []
        self._children: list[TomlTable] = []

    def full_key(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def fault(self, name: str, problem: str) -> None:
        self.faults.append(Fault(self.full_key(name), problem))

    def has(self, name: str) -> bool:
        return name in self._content

    def has_empty(self, name: str) -> bool:
        return self._content.get(name) == []

    def has_table(self, name: str) -> bool:
        return isinstance(self._content.get(name), dict)

    def table(self, name: str) -> "TomlTable":
        value = self._read(name)
        if value is not None and not isinstance(value, dict):
            self.fault(name, f"must be a table, [{self.full_key(name)}]")
        return self._child(name, value if isinstance(value, dict) else {})

    def table_by_name(self, name: str) -> "dict[str, TomlTable]":
        """Return the tables inside a table, whose names are free."""
        value = self._read(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
            self.fault(name, f"must be a table of tables, such as [{self.full_key(name)}.NAME]")
            return {}
        return {key: self._child(f"{name}.{key}", item) for key, item in value.items()}

    def tables(self, name: str) -> "list[TomlTable]":
        value = self._read(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(name, f"must be an array of tables, [[{name}]]")
            return []
        return [self._child(f"{name}[{index}]", item) for index, item in enumerate(value)]

    def string(self, name: str, default: str | None, check: Callable[[str], T], form: str) -> T | None:
        """Return the checked string; if it is rejected or missing, return None and add a fault."""
        value = self._read(name)
        if value is None:
            if default is None:
                self.fault(name, f"is missing; it {form}")
                return None
            value = default
        return check_value(value, check, self.full_key(name), form, self.faults)

    def strings(self, name: str, default: tuple[T, ...], check: Callable[[str], T], form: str) -> tuple[T, ...]:
        value = self._read(name)
        if value is None:
            return default
        if not isinstance(value, list):
            self.fault(name, f"must be an array of strings; each {form}")
            return default
        accepted = (
            check_value(item, check, self.full_key(f"{name}[{index}]"), form, self.faults)
            for index, item in enumerate(value)
        )
        return tuple(item for item in accepted if item is not None)

    def choice(self, name: str, default: str, *others: str) -> str:
        form = f"must be {' or '.join(quoted(word) for word in (default, *others))}"
        return self.string(name, default, lambda text: accept_one_of(text, (default, *others)), form) or default

    def string_or_none(self, name: str, check: Callable[[str], T], form: str) -> T | None:
        """Return the checked string; None if the key is missing, or rejected."""
        return None if self._read(name) is None else self.string(name, None, check, form)

    def choice_or_none(self, name: str, *words: str) -> str | None:
        """Return one of `words`; None if the key is missing, or rejected."""
        form = f"must be {' or '.join(quoted(word) for word in words)}"
        return self.string_or_none(name, lambda text: accept_one_of(text, words), form)

    def boolean(self, name: str, default: bool) -> bool:
        value = self._read(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault(name, "must be true or false")
        return default

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._read(name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.fault(name, f"must be an integer from {least} to {most}")
        return default

    def integer_of(self, name: str, default: int, *others: int) -> int:
        """Return one of these integers."""
        value = self._read(name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value in (default, *others):
            return value
        self.fault(name, f"must be {' or '.join(map(str, (default, *others)))}")
        return default

    def seconds(self, name: str, default: float, least: str, most: int) -> float:
        value = self._number(name)
        if value is None:
            return default
        if value.is_finite() and Decimal(least) <= value <= most:
            return float(value)
        self.fault(name, f"must be a number of seconds from {least} to {most}")
        return default

    def factor(self, name: str, least: str, most: int) -> Decimal:
        value = self._number(name)
        if value is None:
            return Decimal(1)
        if value.is_finite() and Decimal(least) <= value <= most and _places(value) <= MAX_PRICE_PLACES:
            return value
        form = f"a number from {least} to {most} with at most {MAX_PRICE_PLACES} decimal places"
        self.fault(name, f"must be {form}; 1.1 adds 10 %")
        return Decimal(1)

    def price(self, name: str, most: int, form: str | None = None) -> Decimal | None:
        value = self._number(name)
        if value is None:
            return None
        if value.is_finite() and 0 <= value <= most and _places(value) <= MAX_PRICE_PLACES:
            return value.copy_abs()  # -0.0 is zero
        self.fault(name, form or f"must be a number from 0 to {most} with at most {MAX_PRICE_PLACES} decimal places")
        return None

    def rising(self, name: str, count: int, most: int) -> tuple[Decimal, ...]:
        """Return rising numbers above 0, at most `count`; empty if the key is missing, or rejected."""
        value = self._read(name)
        if value is None:
            return ()
        numbers = [_decimal(item) for item in value] if isinstance(value, list) else []
        if (
            0 < len(numbers) <= count
            and all(one.is_finite() and 0 < one <= most and _places(one) <= MAX_PRICE_PLACES for one in numbers)
            and all(one < other for one, other in pairwise(numbers))
        ):
            return tuple(numbers)
        form = f"an array of 1 to {count} rising numbers above 0, each at most {most}"
        self.fault(name, f"must be {form}, with at most {MAX_PRICE_PLACES} decimal places")
        return ()

    def refuse_unknown_keys(self) -> None:
        for name in self._content:
            if name not in self._known:
                close = get_close_matches(name, self._known, n=1)
                hint = f"did you mean {quoted(close[0])}?" if close else f"known keys: {', '.join(self._known)}"
                self.fault(name if name.isprintable() else repr(name), f"is not a known key; {hint}")
        for child in self._children:
            child.refuse_unknown_keys()

    def _read(self, name: str) -> object:
        if name not in self._known:
            self._known.append(name)
        return self._content.get(name)

    def _number(self, name: str) -> Decimal | None:
        """Return a number as a decimal, NaN for any other value; None if the key is missing."""
        value = self._read(name)
        return None if value is None else _decimal(value)

    def _child(self, name: str, content: Mapping[str, object]) -> "TomlTable":
        child = TomlTable(self.full_key(name), content, self.faults)
        self._children.append(child)
        return child


def _decimal(value: object) -> Decimal:
    """Return a number as a decimal, NaN for any other value."""
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else Decimal("NaN")


def _places(value: Decimal) -> int:
    """Return the decimal places of a finite number."""
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def check_value(value: object, check: Callable[[str], T], key: str, form: str, faults: list[Fault]) -> T | None:
    """Return the result of `check`; if it rejects the value, return None and add a fault without the value."""
    if isinstance(value, str):
        try:
            return check(value)
        except ValueError:
            pass
    faults.append(Fault(key, form))
    return None
