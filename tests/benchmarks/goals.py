"""What the figures are held against, and how they are printed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; a ratio that should be large has `larger_is_better`."""

    what: str
    value: float
    unit: str  # "x", "ms", …
    at_least: float | None = None  # None: no goal, told for comparison
    aim: float | None = None
    larger_is_better: bool = False
    interval: tuple[float, float] | None = None  # within which the true value is likely to be

    @property
    def reached(self) -> str:
        """Which goal it reaches, with a question mark if another value of its interval does not reach the same."""
        level = self._level(self.value)
        is_sure = self.interval is None or {self._level(end) for end in self.interval} == {level}
        return level if is_sure else f"{level}?"

    def _level(self, value: float) -> str:
        if self.at_least is None or self.aim is None:
            return "-"
        sign = 1 if self.larger_is_better else -1
        if sign * value >= sign * self.aim:
            return "aim"
        return "at least" if sign * value >= sign * self.at_least else "NO"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {unit}"


def _goal(figure: Figure, value: float | None) -> str:
    sign = "" if value is None else ">= " if figure.larger_is_better else "<= "
    return sign + ("-" if value is None else f"{value:,g} {figure.unit}")


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:,.2f}..{interval[1]:,.2f}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as lines of text; the column of intervals is left out if none has one."""
    rows = [("what", "figure", "interval", "at least", "aim", "reached")]
    for one in figures:
        goals = (_goal(one, one.at_least), _goal(one, one.aim))
        rows.append((one.what, _shown(one.value, one.unit), _between(one.interval), *goals, one.reached))
    columns = [column for column in zip(*rows, strict=True) if set(column) != {"interval", "-"}]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns, strict=True):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join(lines)
