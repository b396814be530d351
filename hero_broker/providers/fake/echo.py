"""What the fake provider says: the last three words that it was told."""

from dataclasses import dataclass

_WORDS = 3


@dataclass(frozen=True, slots=True)
class Echo:
    """A reply in words."""

    words: list[str]
    finish_reason: str

    @property
    def text(self) -> str:
        """The whole reply."""
        return " ".join(self.words)

    @property
    def pieces(self) -> list[str]:
        """The reply a word a piece; together they are `text`."""
        return [word if index == 0 else f" {word}" for index, word in enumerate(self.words)]


def echo(told: list[str], most: int | None) -> Echo:
    """Return the reply to these words, of at most so many."""
    reply = told[-_WORDS:] or ["nothing", "was", "said"]
    kept = reply[:most]
    return Echo(kept, "stop" if len(kept) == len(reply) else "length")
