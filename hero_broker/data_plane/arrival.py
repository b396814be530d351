"""What the edge knows of a request before its body is read."""

from collections.abc import Iterable
from dataclasses import dataclass

from hero_broker.core.calls import Caller

# Of a client's headers, those that go on to a provider; none decides where a request goes or who pays there.
PASSED_HEADERS = frozenset({b"http-referer", b"idempotency-key", b"openai-beta", b"x-title"})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that has come, without its body."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC
    headers: tuple[tuple[str, str], ...] = ()  # those that may go on


def passed_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that may go on to a provider."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name in PASSED_HEADERS)
