"""A stream's events on their way: what passes, what waits for the row, and whether the stream came whole."""

from collections.abc import Sequence

import msgspec

from hero_broker.core.calls import Call, CallKind
from hero_broker.core.errors import ProviderBadStream, ProviderError
from hero_broker.data_plane.relay import Item
from hero_broker.data_plane.responses import error_passed_on, is_about_our_key
from hero_broker.data_plane.sse import EventSplitter, EventTooLong, event_data, is_finished, plain_length
from hero_broker.metering.meter import Meter
from hero_broker.metering.usage_wire import read_usage

# What starts the last event of a stream, which waits for the row.
LAST_EVENTS = (b"[DONE]", b'{"type":"transcript.text.done"', b'{"type":"speech.audio.done"')
AFTER_LAST_BYTES = 64 * 1024  # about so much is taken of what comes behind it
FINISHING = (CallKind.CHAT, CallKind.COMPLETION)  # whose streams say why they end


class EventStream:
    """One stream, shown to its meter."""

    def __init__(self, call: Call, keys: Sequence[str], meter: Meter) -> None:
        """Prepare for a stream from a provider with these keys."""
        self._call = call
        self._keys = keys
        self._meter = meter
        self._splitter = EventSplitter()
        self._latest = b""  # the events, or the data of the one, that came last
        self._is_finished = False  # usage came, or the last event
        self._after_last = 0
        self.tail: list[Item] = []  # the last event, and whatever comes behind it
        self.is_error = False  # an event said that the call failed
        self.is_our_key = False  # because of the key that the broker used

    @property
    def is_enough(self) -> bool:
        """Whether the last event has come and so much behind it that it is read no further."""
        return self._after_last > AFTER_LAST_BYTES

    def feed(self, chunk: bytes) -> bytes:
        """Return what passes on now.

        Raises:
            ProviderError: an event is too long.
        """
        plain = b""
        if self.tail:
            self._after_last += len(chunk)
        elif self._splitter.is_between and (length := plain_length(chunk)):
            plain, chunk = chunk[:length], chunk[length:]
            self._meter.on_plain_events(plain)
            if not plain.startswith(b":"):
                self._latest = plain
            if not chunk:
                return plain
        try:
            events = self._splitter.feed(chunk)
        except EventTooLong as error:
            raise ProviderBadStream("The provider sent an event that is too long.") from error
        return b"".join([plain, *[self._take(event, event_data(event)) for event in events]])

    def end(self) -> None:
        """Take what came after the last blank line.

        Raises:
            ProviderError: the stream is not whole.
        """
        rest = self._splitter.rest()
        data = event_data(rest)
        is_whole = not data or data.startswith(LAST_EVENTS) or _is_json(data)
        if rest and is_whole:
            self.tail.append(self._take(rest, data))
        if (self.tail and self._is_finished) or self.is_error:
            return
        if not is_whole or (self._call.kind in FINISHING and not self._is_finished and not is_finished(self._latest)):
            raise ProviderError("The provider broke off.")

    def _take(self, event: bytes, data: bytes) -> bytes:
        """Note an event; return what of it passes on now."""
        is_usage_event = self._meter.on_event(data)
        if data:
            self._latest = data
        if b'"error"' in data and read_usage(self._call.kind, data).is_error:
            self.is_error = True
            self.is_our_key |= is_about_our_key(200, data)
            event = error_passed_on(event, data, self._keys)
        is_last = data.startswith(LAST_EVENTS)
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
