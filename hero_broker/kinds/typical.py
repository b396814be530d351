"""The usage of a typical call of each kind, to display a price and to check that it can price the kind."""

from collections.abc import Mapping, Sequence

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import Usage
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff

_TEXT = ("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000))
_TOKENS = ("1,000 tokens in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000))
# Alternatives in the order in which they are tried, because a kind may be billed in one unit or another.
TYPICAL: Mapping[CallKind, Sequence[tuple[str, Usage]]] = {
    CallKind.CHAT: (_TEXT,),
    CallKind.COMPLETION: (_TEXT,),
    CallKind.EMBEDDING: (("1,000 in", Usage(input_tokens=1000, output_tokens=0)),),
    CallKind.TTS: (
        ("1,000 characters", Usage(characters=1000)),
        _TOKENS,
        (
            "1,000 tokens in and 1,000 of audio out",
            Usage(input_tokens=1000, output_tokens=1000, audio_output_tokens=1000),
        ),
    ),
    CallKind.STT: (
        ("a minute of audio", Usage(audio_ms=60_000)),
        _TOKENS,
        (
            "1,000 tokens of audio in and 1,000 out",
            Usage(input_tokens=1000, audio_input_tokens=1000, output_tokens=1000),
        ),
    ),
    CallKind.RERANK: (
        ("one search", Usage(search_units=1)),
        ("1,000 tokens in", Usage(input_tokens=1000, output_tokens=0)),
    ),
}


def typical_cost(price: Price, kind: CallKind) -> tuple[str, int] | None:
    """Return the description of a typical call and its cost in nano-USD; None if the price cannot price the kind."""
    for what, usage in TYPICAL[kind]:
        cost = cost_of(usage, price)
        if cost is not None:
            return what, cost
    return None


def is_priced(tariff: Tariff | None, kind: CallKind) -> bool:
    """Return whether calls of a kind always have a price, at any time and input length."""
    if tariff is None:
        return False
    result = tariff.kinds.get(kind)  # cached, because a broker that refuses unpriced calls checks every call
    if result is None:
        prices = (price for period in tariff.periods for price in period.prices)
        result = tariff.kinds[kind] = all(typical_cost(price, kind) is not None for price in prices)
    return result
