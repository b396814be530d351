"""The shares of a cost that has several prices, as `RequestLog.cost_shares` stores them: JSON."""

from collections.abc import Sequence

import msgspec

from hero_broker.core.usage import Usage


class CostShare(msgspec.Struct, frozen=True):
    """What a call used of one model at one price."""

    model: str  # the provider's name
    price_id: str
    usage: Usage


_DECODER = msgspec.json.Decoder(tuple[CostShare, ...])


def encode_shares(shares: Sequence[CostShare]) -> str:
    """Return the text of shares."""
    return msgspec.json.encode(shares).decode()


def decode_shares(text: str | None) -> tuple[CostShare, ...]:
    """Return the shares of a text; none if it is no text of shares."""
    try:
        return () if text is None else _DECODER.decode(text)
    except msgspec.DecodeError:
        return ()
