"""Checks the regular expressions of a price list: only those are accepted that match any name in few steps.

`re` tries every way in which an expression may match. The checker reads a small part of its syntax, and counts these
ways: characters, classes, `?`, `*`, `+`, `{n}` and `{n,m}` after them, groups, alternatives, and lookaheads. A group
may be optional, but may not be repeated otherwise.
"""

import re
from typing import NamedTuple

from hero_broker.pricing.genai_data.matching import MAX_NAME

MAX_LENGTH = 200  # characters of an expression
MAX_COUNT = 200  # in `{n}`
MAX_STEPS = 500_000  # characters compared, for the longest name that is matched
_CLASSES = "dws"  # `\d`, `\w` and `\s`
_COUNT = re.compile(r"\{([0-9]{1,9})(,?)([0-9]{0,9})\}")


class UnsafeExpression(ValueError):
    """The expression has other syntax, is malformed, or takes too long; the message says which."""


class _Effort(NamedTuple):
    """What an expression may take from one place of a name."""

    steps: int  # characters compared, at most
    ways: int  # in which it matches, at most


def steps_of(expression: str) -> int:
    """Return how many characters are compared at most when an expression is searched in a name of `MAX_NAME`.

    Raises:
        UnsafeExpression: the expression is too long, is malformed, or has syntax that is not accepted.
    """
    if len(expression) > MAX_LENGTH:
        raise UnsafeExpression(f"it has more than {MAX_LENGTH} characters")
    if not expression.isprintable():
        raise UnsafeExpression("it has a control character")
    reader = _Reader(expression)
    efforts = reader.alternatives()
    reader.expect_end()
    try:
        re.compile(expression)
    except re.error as error:
        raise UnsafeExpression(str(error)) from error
    effort = _joined(efforts)
    if expression.startswith("^") and len(efforts) == 1:
        return effort.steps + MAX_NAME  # at each other place, the anchor fails
    return effort.steps * (MAX_NAME + 1)


def check_expression(expression: str) -> int:
    """Return the steps of an expression that may be used.

    Raises:
        UnsafeExpression: it may not.
    """
    steps = steps_of(expression)
    if steps > MAX_STEPS:
        raise UnsafeExpression(f"a name of {MAX_NAME} characters may take more than {MAX_STEPS:,} steps")
    return steps


def _joined(efforts: list[_Effort]) -> _Effort:
    return _Effort(sum(1 + effort.steps for effort in efforts), sum(effort.ways for effort in efforts))


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0

    def expect_end(self) -> None:
        if self._at < len(self._text):
            raise UnsafeExpression("a group is closed that was not opened")

    def alternatives(self) -> list[_Effort]:
        efforts = [self._sequence()]
        while self._take("|"):
            efforts.append(self._sequence())
        return efforts

    def _sequence(self) -> _Effort:
        steps, ways = 0, 1
        while self._next() not in ("", "|", ")"):
            piece = self._piece()
            steps += ways * piece.steps
            ways *= piece.ways
        return _Effort(steps, ways)

    def _piece(self) -> _Effort:
        if self._take("^") or self._take("$"):
            return _Effort(1, 1)
        if self._take("("):
            return self._group()
        self._character()
        return self._repeat()

    def _group(self) -> _Effort:
        is_lookahead = self._take("?!") or self._take("?=")
        if not is_lookahead and not self._take("?:") and self._next() == "?":
            raise UnsafeExpression("'(?' must be '(?:', '(?!' or '(?='")
        effort = _joined(self.alternatives())
        if not self._take(")"):
            raise UnsafeExpression("a group is not closed")
        if is_lookahead:
            return _Effort(effort.steps, 1)  # it has one result, which `re` does not try again
        if self._take("?"):
            return _Effort(effort.steps + 1, effort.ways + 1)
        if self._next() in ("*", "+", "{"):
            raise UnsafeExpression("a group is repeated; it may only be optional")
        return effort

    def _character(self) -> None:
        """Read what matches one character."""
        if self._take("["):
            self._class()
        elif self._take("\\"):
            self._escaped()
        elif self._next() in ("*", "+", "?", "{"):
            raise UnsafeExpression(f"{self._next()!r} follows nothing that it may repeat")
        elif self._next() in ("]", "}"):
            raise UnsafeExpression(f"{self._next()!r} must be written as '\\{self._next()}'")
        else:
            self._at += 1

    def _class(self) -> None:
        self._take("^")
        start = self._at
        while not self._take("]"):
            member = self._next()
            if not member:
                raise UnsafeExpression("a class is not closed")
            if self._take("\\"):
                self._escaped()
            # Python reads some of these differently in future: `[[a]`, `[a--b]`, `[a&&b]`, `[a||b]`, `[a~~b]`.
            elif member == "[" or (member in "-&|~" and self._text.startswith(member * 2, self._at)):
                raise UnsafeExpression(f"{member!r} in a class must be written as '\\{member}'")
            else:
                self._at += 1
        if self._at == start + 1:
            raise UnsafeExpression("a class is empty")

    def _escaped(self) -> None:
        escaped = self._next()
        if not escaped or (escaped not in _CLASSES and (not escaped.isascii() or escaped.isalnum())):
            raise UnsafeExpression(f"'\\{escaped}' is not accepted")
        self._at += 1

    def _repeat(self) -> _Effort:
        """Read how often a character is repeated."""
        if self._take("?"):
            return _Effort(1, 2)
        if self._take("*") or self._take("+"):
            return _Effort(MAX_NAME + 1, MAX_NAME + 1)
        if self._next() != "{":
            return _Effort(1, 1)
        count = _COUNT.match(self._text, self._at)
        if count is None:
            raise UnsafeExpression("'{' must begin '{n}', '{n,}' or '{n,m}'")
        least = int(count[1])
        most = int(count[3]) if count[3] else MAX_NAME if count[2] else least
        if max(least, most) > MAX_COUNT:
            raise UnsafeExpression(f"{count[0]} repeats more than {MAX_COUNT} times")
        self._at = count.end()
        return _Effort(most + 1, max(most - least, 0) + 1)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        """Read `text` if it is next, and return whether it is."""
        is_next = self._text.startswith(text, self._at)
        if is_next:
            self._at += len(text)
        return is_next
