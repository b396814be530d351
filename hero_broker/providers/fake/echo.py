"""Makes the fake provider's reply: the last three words of the prompt."""

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
        """The reply, one word in each piece; joined they are `text`."""
        return [word if index == 0 else f" {word}" for index, word in enumerate(self.words)]


def echo(prompt: list[str], max_words: int | None) -> Echo:
    """Return the reply to a prompt, of at most `max_words` words."""
    reply = prompt[-_WORDS:] or ["nothing", "was", "said"]
    words = reply[:max_words]
    return Echo(words, "stop" if len(words) == len(reply) else "length")
