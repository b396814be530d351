"""The loads that brokers and other gateways are put under, and the settings of a broker that takes them."""

import json
from dataclasses import dataclass

from tests.benchmarks.provider import BURST_EVENTS, END_EVENTS, INPUT_TOKENS, PACED_EVENTS, WHOLE_TOKENS

INPUT_NANO_USD, OUTPUT_NANO_USD = 590, 790  # per token
STREAMS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    title: str
    user: str  # how the provider answers
    at_once: int
    events: int  # of an answer, with those that end it; 0 for JSON
    output_tokens: int
    input_tokens: int = INPUT_TOKENS

    @property
    def body(self) -> bytes:
        """The request, some 300 bytes."""
        text = "Say in two sentences what a gateway that bills each request to the address that made it needs to know."
        asked = {"model": "small-1", "messages": [{"role": "user", "content": text}], "temperature": 0.7}
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self.events else {"stream": False}
        return json.dumps({**asked, "user": self.user, **stream}, separators=(",", ":")).encode()

    @property
    def cost_nano_usd(self) -> int:
        """What a call of it costs."""
        return self.input_tokens * INPUT_NANO_USD + self.output_tokens * OUTPUT_NANO_USD


def settings(provider_url: str) -> str:
    """Return the settings of a broker with one provider and one model."""
    return (
        f'[[providers]]\nname = "p"\nbase_url = "{provider_url}"\n[[models]]\nname = "small-1"\nprovider = "p"\n'
        "[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n"
    )


def scenarios(concurrency: list[int]) -> list[Scenario]:
    """Return the loads, in the order in which they are run."""
    return [
        *(Scenario(f"JSON, {count} at once", "whole", count, 0, WHOLE_TOKENS) for count in concurrency),
        *(
            Scenario(f"{count} events, {user}, {STREAMS_AT_ONCE} streams", user, STREAMS_AT_ONCE, with_end, count)
            for user, count, with_end in (
                ("paced", PACED_EVENTS, PACED_EVENTS + END_EVENTS),
                ("burst", BURST_EVENTS, BURST_EVENTS + END_EVENTS),
            )
        ),
    ]
