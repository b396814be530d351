"""How many tokens models have answered of late: what the hold "mean" sets aside for the output of their next call."""

from collections import deque

from hero_broker.core.calls import Outcome
from hero_broker.core.records import Settled

CALLS = 32  # of each model
MAX_MODELS = 1000  # the one that answered first is forgotten first


class RecentOutputs:
    """The output tokens of each model's last calls that ended well. In memory alone: it is empty after a start."""

    def __init__(self) -> None:
        self._tokens: dict[str, deque[int]] = {}

    def settled(self, end: Settled) -> None:
        """Note the output of a call."""
        row = end.row
        if row.outcome is not Outcome.OK or row.output_tokens is None:
            return
        tokens = self._tokens.get(row.model)
        if tokens is None:
            if len(self._tokens) >= MAX_MODELS:
                del self._tokens[next(iter(self._tokens))]
            tokens = self._tokens[row.model] = deque(maxlen=CALLS)
        tokens.append(row.output_tokens)

    def mean(self, model: str) -> int | None:
        """Return the mean of a model's last calls, rounded up; None before the first."""
        tokens = self._tokens.get(model)
        return -(-sum(tokens) // len(tokens)) if tokens else None
