"""The records of the journal: calls that began, and rows that the database may lack."""

import msgspec

from hero_broker.core.calls import Caller
from hero_broker.core.records import PriceRecord, RequestLog, StoredResponse, owner_of

KEEP_RESPONSES_S = 30 * 86_400  # as long as OpenAI keeps them


class PendingRow(msgspec.Struct, frozen=True, array_like=True):
    """A row and its price, which may be new to the database.

    The journal stores the fields by position, as those of `RequestLog`.
    """

    row: RequestLog
    rates: str | None  # JSON
    price_source: str = ""
    price_version: str = ""
    response_id: str | None = None  # of the response, if its provider keeps it; it matches `RESPONSE_ID`
    share_prices: tuple[PriceRecord, ...] = ()  # those that the row's `cost_shares` refer to

    def stored_response(self) -> StoredResponse | None:
        """Return the response that the provider keeps; None if it keeps none."""
        row = self.row
        if self.response_id is None:
            return None
        return StoredResponse(
            self.response_id,
            owner_of(row.api_key_id, row.ip),
            row.provider,
            row.provider_key,
            row.model,
            row.request_id,
            (row.input_tokens or 0) + (row.output_tokens or 0),
            row.started_at + KEEP_RESPONSES_S,
        )


class CallStarted(msgspec.Struct, frozen=True, array_like=True):
    """The note of a call that begins: its row is built from it if the process dies before the call ends.

    The journal stores the fields by position, as those of `RequestLog`.
    """

    request_id: str
    started_at: int  # unix seconds, UTC
    caller: Caller
    kind: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    input_bytes: int
    characters: int | None
    rates: str | None  # JSON; the price for the estimated length of its input; None if no price is known
    price_source: str
    price_version: str
    attempts: int = 1  # the note is written again before each further attempt
    requested_model: str | None = None  # as in `RequestLog`
