"""Candidates answer the same question in turn, round by round, and their answers must be equal."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.reports.candidates import OURS, Candidate
from tests.benchmarks.reports.questions import Line, Question

ASKS, QUICK_MS = 5, 200  # in a round, a question that is answered as quickly is asked so often; the median counts


@dataclass(slots=True)
class Times:
    """Milliseconds by candidate; None in the rounds that a slow one sat out."""

    by_name: dict[str, list[float | None]] = field(default_factory=dict)

    def ms(self, name: str) -> float:
        """Return the median of a candidate's rounds."""
        return median(one for one in self.by_name[name] if one is not None)

    def ratio(self, slower: str, faster: str) -> float:
        """Return the median of the ratios within a round."""
        pairs = zip(self.by_name[slower], self.by_name[faster], strict=True)
        return median(one / other for one, other in pairs if one is not None and other is not None)

    def shown(self) -> str:
        """Return all medians as text."""
        return "; ".join(f"{name} {self.ms(name):,.2f} ms" for name in self.by_name)


def ask_in_turn(
    candidates: Mapping[str, Candidate],
    question: Question,
    rounds: int,
    *,
    slow: Collection[str] = (),
    slow_rounds: int = 1,
) -> Times:
    """Ask all candidates in each round, the slow ones in the first rounds alone and without a first try.

    Ends the program if two answers differ.
    """
    times = Times({name: [] for name in candidates})
    answer: list[Line] | None = None
    for name, candidate in candidates.items():
        if name not in slow:
            candidate.ask(question)  # what it needs is in memory now
    for number in range(rounds):
        for name, candidate in candidates.items():
            if name in slow and number >= slow_rounds:
                times.by_name[name].append(None)
                continue
            took_ms, found = ask_some(candidate, question)
            times.by_name[name].append(took_ms)
            answer = found if answer is None else answer
            check(question, name, answer, found)
    return times


def ask_beside(candidates: Mapping[str, Candidate], question: Question, rounds: int) -> Times:
    """Ask ours in all rounds, after all have answered once and equally."""
    once = ask_in_turn(candidates, question, 1)
    ours = ask_in_turn({OURS: candidates[OURS]}, question, rounds)
    return Times({**once.by_name, **ours.by_name})


def check(question: Question, name: str, expected: list[Line], found: list[Line]) -> None:
    """End the program if an answer is not the one expected."""
    if expected != found:
        pairs = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
        sys.exit(f"{name} answers {question} otherwise: {len(found)} lines, not {len(expected)}; first: {pairs[:1]}")


def ask_some(candidate: Candidate, question: Question) -> tuple[float, list[Line]]:
    """Return the milliseconds that an answer takes, and the answer."""
    took_ms, found = candidate.ask(question)
    if took_ms > QUICK_MS:
        return took_ms, found
    more = [candidate.ask(question) for _ in range(ASKS - 1)]
    for _, again in more:
        assert again == found
    return median([took_ms, *(ms for ms, _ in more)]), found
