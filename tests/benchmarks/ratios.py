"""The ratios of one figure between two candidates, one for each round: their median, its interval, and a verdict.

The verdict compares with what the same code shows against itself. The interval of a median needs no assumption about
the noise: each round lies above or below the true median with the same chance, so that the values between the k-th
smallest and the k-th largest enclose it with a chance that follows from the number of rounds alone. It answers for what
varies from round to round. Two processes of the same code may also differ in all rounds: how far the median of their
ratios is from 1 is counted as noise on top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

SURE = 0.95  # with at least this chance an interval encloses the true median
BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of a figure, the first candidate's by the second's, at least one; they may be 0, negative or infinite."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The values a quarter and three quarters up the sorted rounds."""
        return quartiles(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """What encloses the true median with a chance of at least `SURE`; None for fewer than 6 rounds."""
        ordered = sorted(self.values)
        outside = _rounds_outside(len(ordered))
        return None if outside is None else (ordered[outside], ordered[-1 - outside])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Ratios:
    """Return the ratio of each round."""
    return Ratios(tuple(_by(one, other) for one, other in zip(ours, theirs, strict=True)))


def added_ratios(ours: Sequence[float], theirs: Sequence[float], alone: Sequence[float]) -> Ratios:
    """Return the ratios of what both add to `alone`; infinite in rounds in which theirs adds nothing."""
    rounds = zip(ours, theirs, alone, strict=True)
    return Ratios(tuple(_by(one - least, other - least) for one, other, least in rounds))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the values a quarter and three quarters up, each of them one of `values`."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last / 4)], ordered[last - round(last / 4)]


def verdict(found: Ratios, itself: Ratios, *, larger_is_better: bool = False) -> str:
    """Return whether the first candidate is better or worse than the second; `itself` is the same code's ratio.

    It is neither if the interval reaches into the noise, which is from 1 to the median of `itself`, in both directions.
    """
    interval, typical = found.interval, itself.median
    if interval is None or not 0 < typical < math.inf:
        return UNDECIDED
    noise = max(typical, 1 / typical)
    low, high = interval
    if low > noise:
        return BETTER if larger_is_better else WORSE
    if high < 1 / noise:
        return WORSE if larger_is_better else BETTER
    return UNDECIDED


def _by(ours: float, theirs: float) -> float:
    return ours / theirs if theirs > 0 else math.inf


def _rounds_outside(rounds: int) -> int | None:
    """Return how many of the rounds may be left out at each end."""
    found, chance_below = None, 0.0
    for outside in range(rounds // 2 + 1):
        chance_below += math.comb(rounds, outside) / 2**rounds
        if 2 * chance_below > 1 - SURE:
            break
        found = outside
    return found
