"""Forwards a provider's event stream, holds its last event back for the row, and checks that it is complete."""

from collections.abc import Sequence

import msgspec

from hero_broker.core.calls import Attempt
from hero_broker.core.errors import ProviderBadStream, ProviderBrokeOff
from hero_broker.data_plane.long_event import LongEvent
from hero_broker.data_plane.relay import Item
from hero_broker.data_plane.responses import client_error_event, is_about_our_key
from hero_broker.data_plane.sse import EventSplitter, EventTooLong, event_data, last_data
from hero_broker.kinds.stream_rules import MAX_EVENT_BYTES, has_error
from hero_broker.metering.meter import Meter

AFTER_LAST_BYTES = 64 * 1024  # about this much is read after the last event
_DATA = (b"data: {", b"data:{")  # what most chunks begin with; others may have no data
_NAMED_DATA = b"\ndata: {"  # what an event with a name has


class EventStream:
    """One event stream, read by its meter on the way."""

    def __init__(self, call: Attempt, keys: Sequence[str], meter: Meter, max_long_event_bytes: int) -> None:
        """Prepare for a stream from a provider that has these keys.

        An event may have `max_long_event_bytes` if its kind has long events.
        """
        self._call = call
        self._keys = keys
        self._meter = meter
        self._kind = meter.kind
        self._rules = meter.kind.stream_rules
        self._splitter = EventSplitter(max_long_event_bytes if self._rules.has_long_events else MAX_EVENT_BYTES)
        self._latest = b""  # the latest event that has data, or whole events that contain it
        self._is_finished = False  # usage has come, or the last event
        self._after_last = 0
        self.pieces: list[bytes] = []  # of long events and what follows them: may leave after what `feed` has returned
        self.tail: list[Item] = []  # the last event, and whatever follows it
        self.is_error = False  # an event reported an error
        self.is_our_key = False  # the error is about the key that the broker used
        self.error_code: str | None = None  # of the error, if the kind of call has codes for them

    @property
    def latest_data(self) -> bytes:
        """The data of the latest event that has any."""
        return last_data(self._latest)

    @property
    def is_enough(self) -> bool:
        """Whether the last event has come, and enough after it to stop reading."""
        return self._after_last > AFTER_LAST_BYTES

    def feed(self, chunk: bytes) -> bytes:
        """Return the part of the stream that may leave now; the caller takes `pieces` too.

        Raises:
            ProviderError: an event is too long.
        """
        plain = b""
        if self.tail:
            self._after_last += len(chunk)
        elif self._splitter.is_at_boundary and (length := self._rules.plain_length(chunk)):
            plain, chunk = chunk[:length], chunk[length:]
            self._meter.on_plain_events(plain)
            if plain.startswith(_DATA) or _NAMED_DATA in plain or last_data(plain):
                self._latest = plain
            if not chunk:
                return plain
        try:
            events = self._splitter.feed(chunk)
        except EventTooLong as error:
            raise ProviderBadStream("The provider sent an event that is too long.") from error
        out = [plain]
        for event in events:
            if isinstance(event, LongEvent):
                self._process_long(event)
            elif self.pieces:
                self.pieces.append(self._process(event, event_data(event)))
            else:
                out.append(self._process(event, event_data(event)))
        return b"".join(out)

    def take_pieces(self) -> list[bytes]:
        """Return the pieces that may leave, once."""
        taken, self.pieces = self.pieces, []
        return taken

    def end(self) -> None:
        """Process what came after the last blank line.

        Raises:
            ProviderError: the stream is incomplete.
        """
        rest = self._splitter.rest()
        data = event_data(rest.outline() if isinstance(rest, LongEvent) else rest)
        is_complete = not data or self._rules.is_last(data) or _is_json(data)
        if isinstance(rest, LongEvent) and is_complete:
            self._process_long(rest)
            self.tail += self.take_pieces()
        elif isinstance(rest, bytes) and rest and is_complete:
            self.tail.append(self._process(rest, data))
        if (self.tail and self._is_finished) or self.is_error:
            return
        if not is_complete or not (self._is_finished or self._rules.is_finished(last_data(self._latest))):
            raise ProviderBrokeOff("The provider broke off its response.")

    def _process_long(self, event: LongEvent) -> None:
        """Meter a long event by its outline; add it to the pieces that may leave, or to the tail."""
        outline, before = event.outline(), len(self.tail)
        data = event_data(outline)
        if not _is_json(data) or (has_error(data) and self._kind.report(data).is_error):  # it is needed as it came
            whole = event.whole()
            self.pieces.append(self._process(whole, event_data(whole)))
        elif self._process(outline, data):
            self.pieces += event.pieces
        elif len(self.tail) > before:
            self.tail[before:] = event.pieces

    def _process(self, event: bytes, data: bytes) -> bytes:
        """Meter an event; return the part of it that may leave now."""
        is_usage_event = self._meter.on_event(data)
        if data:
            self._latest = event
        if has_error(data) and self._kind.report(data).is_error:
            self.is_error = True
            self.is_our_key |= is_about_our_key(200, data)
            self.error_code = self._kind.error_code(data)
            self._meter.on_error_event()
            event = client_error_event(event, data, self._keys, self._kind, self._call.request_id)
        is_last = self._rules.is_last(data)
        self._is_finished |= is_usage_event or is_last
        if is_usage_event and not self._call.wants_usage:
            return b""
        if self.tail or is_last:
            self.tail.append(event)
            return b""
        return event


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
