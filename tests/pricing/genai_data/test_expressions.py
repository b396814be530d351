"""Accepted expressions match any name in few steps; all of the installed list are accepted."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hero_broker.pricing.genai_data.expressions import MAX_STEPS, UnsafeExpression, check_expression, steps_of
from hero_broker.pricing.genai_data.matching import MAX_NAME, matches
from hero_broker.pricing.genai_data.types import ClauseRegex
from tests.pricing.genai_data.publish import installed_list


def expressions_of(value: Any) -> list[str]:
    """Return the regular expressions of a list, or of a part of it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value["regex"]] if isinstance(value, dict) and "regex" in value else []
    return [*own, *(expression for one in inner for expression in expressions_of(one))]


def test_every_expression_of_the_installed_list_is_accepted() -> None:
    expressions = expressions_of(msgspec.json.decode(installed_list()))

    assert len(expressions) > 50
    assert max(check_expression(expression) for expression in expressions) < MAX_STEPS / 10


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        pytest.param("(a+)+$", "a group is repeated", id="repeat in a repeat"),
        pytest.param("^(([a-z0-9-])+)+$_", "a group is repeated", id="repeat in a repeat, twice"),
        pytest.param("(a|a){2,}b", "a group is repeated", id="alternatives in a repeat"),
        pytest.param("^a*a*a*b", "may take more than 500,000 steps", id="three repeats"),
        pytest.param("a*a*b", "may take more than 500,000 steps", id="two repeats at any place"),
        pytest.param("^" + "a?" * 20 + "a" * 20, "may take more than 500,000 steps", id="optional characters"),
        pytest.param("^" + "(?:a|a)" * 20 + "b", "may take more than 500,000 steps", id="equal alternatives"),
        pytest.param("^a*|(?:b|b)a*a*", "may take more than 500,000 steps", id="anchor of one alternative"),
        pytest.param("a" * 201, "more than 200 characters", id="long"),
        pytest.param("a{99999999999999999999}", "'{' must begin '{n}'", id="count of many digits"),
        pytest.param("a{201}", "{201} repeats more than 200 times", id="high count"),
        pytest.param("a{3,2}", "min repeat greater than max repeat", id="descending count"),
        pytest.param("a{x}", "'{' must begin '{n}'", id="no count"),
        pytest.param("[[a]", "'[' in a class must be written as '\\['", id="class in a class"),
        pytest.param("[a&&b]", "'&' in a class must be written as '\\&'", id="operator in a class"),
        pytest.param("[z-a]", "bad character range z-a", id="descending range"),
        pytest.param("[]", "a class is empty", id="empty class"),
        pytest.param("[a", "a class is not closed", id="open class"),
        pytest.param("(", "a group is not closed", id="open group"),
        pytest.param("a)", "a group is closed that was not opened", id="closed group"),
        pytest.param("(?<=a)b", "'(?' must be", id="lookbehind"),
        pytest.param("(?P<a>b)", "'(?' must be", id="named group"),
        pytest.param("(?i)a", "'(?' must be", id="flag"),
        pytest.param(r"(a)\1", "'\\1' is not accepted", id="backreference"),
        pytest.param(r"a\Z", "'\\Z' is not accepted", id="unknown escape"),
        pytest.param("a\\", "'\\' is not accepted", id="half an escape"),
        pytest.param("a+?", "'?' follows nothing that it may repeat", id="lazy repeat"),
        pytest.param("*a", "'*' follows nothing that it may repeat", id="repeat of nothing"),
        pytest.param("a]", "']' must be written as '\\]'", id="bracket"),
        pytest.param("a\n", "it has a control character", id="control character"),
    ],
)
def test_other_expressions_are_refused(expression: str, fault: str) -> None:
    with pytest.raises(UnsafeExpression) as caught:
        check_expression(expression)

    assert fault in str(caught.value)


def test_longer_names_match_no_expression() -> None:
    clause = ClauseRegex("^a")

    assert matches(clause, "a" * MAX_NAME)
    assert not matches(clause, "a" * (MAX_NAME + 1))


@dataclass
class Search:
    """A search as `re` does it, which counts what it compares."""

    name: str
    compared: int = 0

    def search(self, alternatives: "Alternatives") -> bool:
        return any(alternatives.match(self, start, lambda _: True) for start in range(len(self.name) + 1))

    def has(self, place: int, pattern: str) -> bool:
        self.compared += 1
        return place < len(self.name) and is_one_of(pattern, self.name[place])


@cache
def is_one_of(pattern: str, character: str) -> bool:
    """Return whether a pattern matches a character."""
    return re.fullmatch(pattern, character) is not None


Rest = Callable[[int], bool]


@dataclass
class Characters:
    """A character, a class or a dot, with a repeat."""

    pattern: str
    repeat: str = ""
    least: int = 1
    most: int = 1

    def text(self) -> str:
        return self.pattern + self.repeat

    def match(self, search: Search, place: int, rest: Rest) -> bool:
        count = 0
        while count < self.most and search.has(place + count, self.pattern):
            count += 1
        return any(rest(place + times) for times in range(count, self.least - 1, -1))


@dataclass
class Anchor:
    """The start or the end of the name."""

    sign: str

    def text(self) -> str:
        return self.sign

    def match(self, search: Search, place: int, rest: Rest) -> bool:
        search.compared += 1
        return place == (0 if self.sign == "^" else len(search.name)) and rest(place)


@dataclass
class Alternatives:
    """Sequences of which one must match."""

    sequences: "list[list[Characters | Anchor | Group]]"

    def text(self) -> str:
        return "|".join("".join(part.text() for part in sequence) for sequence in self.sequences)

    def match(self, search: Search, place: int, rest: Rest) -> bool:
        return any(self._sequence(search, sequence, place, rest) for sequence in self.sequences)

    def _sequence(self, search: Search, parts: "Sequence[Characters | Anchor | Group]", place: int, rest: Rest) -> bool:
        if not parts:
            return rest(place)
        return parts[0].match(search, place, lambda after: self._sequence(search, parts[1:], after, rest))


@dataclass
class Group:
    """A group, which may be optional, or a lookahead."""

    inner: Alternatives
    opening: str = "("
    is_optional: bool = False

    def text(self) -> str:
        return f"{self.opening}{self.inner.text()}){'?' * self.is_optional}"

    def match(self, search: Search, place: int, rest: Rest) -> bool:
        if self.opening in ("(?!", "(?="):
            return self.inner.match(search, place, lambda _: True) is (self.opening == "(?=") and rest(place)
        return self.inner.match(search, place, rest) or (self.is_optional and rest(place))


CHARACTERS = st.builds(
    lambda pattern, repeat: Characters(pattern, *repeat),
    st.sampled_from(["a", "b", "-", ".", "[ab]", "[^b]", r"\d", r"\w"]),
    st.sampled_from(
        [
            ("", 1, 1),
            ("?", 0, 1),
            ("*", 0, MAX_NAME),
            ("+", 1, MAX_NAME),
            ("{3}", 3, 3),
            ("{1,4}", 1, 4),
            ("{2,}", 2, MAX_NAME),
        ]
    ),
)


def groups(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return groups of these parts."""
    inner = st.lists(st.lists(parts, max_size=3), min_size=1, max_size=3).map(Alternatives)
    plain = st.builds(Group, inner, st.sampled_from(["(", "(?:"]), st.booleans())
    return plain | st.builds(Group, inner, st.sampled_from(["(?!", "(?="]))


PARTS: st.SearchStrategy[Any] = st.recursive(CHARACTERS | st.sampled_from("^$").map(Anchor), groups, max_leaves=5)
SEQUENCES = st.lists(PARTS, max_size=4)
ALTERNATIVES = st.lists(SEQUENCES, min_size=1, max_size=2).map(Alternatives) | SEQUENCES.map(
    lambda sequence: Alternatives([[Anchor("^"), *sequence]])
)
NAMES = st.builds(
    lambda unit, end: (unit * MAX_NAME)[: MAX_NAME - len(end)] + end,
    st.text("ab-1", min_size=1, max_size=3),
    st.text("ab-1", max_size=4),
)


@settings(deadline=None, max_examples=50)  # the search of the test is slow
@given(ALTERNATIVES, NAMES)
def test_accepted_expression_compares_few_characters_of_any_name(alternatives: Alternatives, name: str) -> None:
    expression = alternatives.text()
    try:
        steps = check_expression(expression)
    except UnsafeExpression:
        assume(False)
    search = Search(name)

    is_found = search.search(alternatives)

    assert is_found is (re.search(expression, name) is not None)
    assert search.compared <= steps <= MAX_STEPS


@settings(deadline=None)
@given(st.text("ab|()[]{}?*+^$.\\-,0123!:=", max_size=12))
def test_accepted_text_is_an_expression_without_a_warning(expression: str) -> None:
    try:
        steps_of(expression)
    except UnsafeExpression:
        return

    assert re.compile(expression)
