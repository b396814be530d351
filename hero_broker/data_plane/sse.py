"""Splits bytes into server-sent events, without IO. Events stay byte for byte the same."""

import re

from hero_broker.data_plane.long_event import MIN_LONG_BYTES, LongEvent

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event is longer than it may be."""


class EventSplitter:
    """Splits a stream of bytes after each blank line. Lines end in LF or CRLF only."""

    def __init__(self, max_event_bytes: int) -> None:
        self._rest = bytearray()
        self._long: LongEvent | None = None  # in place of `_rest`
        self._max_event_bytes = max_event_bytes

    def feed(self, chunk: bytes) -> list[bytes | LongEvent]:
        """Return the events that `chunk` completes, each with its blank line.

        Raises:
            EventTooLong: an event is longer than `max_event_bytes`, or will be once its blank line comes.
        """
        if self._long is not None:
            return self._feed_long(self._long, chunk)
        rest = self._rest
        if not rest:
            data = chunk
        elif _BLANK_LINE.search(chunk) or _BLANK_LINE.search(rest[-2:] + chunk[:2]):
            rest += chunk  # in place: to join copies of both would take twice as long
            data = bytes(rest)
            rest.clear()
        else:  # do not search or copy the buffer again for each small chunk
            data = b""
            rest += chunk
        events: list[bytes | LongEvent] = []
        start = 0
        for blank_line in _BLANK_LINE.finditer(data):  # one pass: searching again for each event would be quadratic
            if not start:  # only the first event began before this chunk, which is much shorter than the bound
                self._check_length(blank_line.end())
            events.append(data[start : blank_line.end()])
            start = blank_line.end()
        rest += data[start:]
        self._check_length(len(rest))
        if len(rest) >= MIN_LONG_BYTES:
            self._long = LongEvent(bytes(rest))
            rest.clear()
        return events

    def _feed_long(self, event: LongEvent, chunk: bytes) -> list[bytes | LongEvent]:
        before = event.last_bytes
        across = _BLANK_LINE.search(before + chunk[:2])
        found = across or _BLANK_LINE.search(chunk)
        end = len(chunk) if found is None else found.end() - (len(before) if found is across else 0)
        event.add(chunk[:end])
        self._check_length(event.size)
        if found is None:
            return []
        self._long = None
        return [event, *self.feed(chunk[end:])]

    def _check_length(self, length: int) -> None:
        if length > self._max_event_bytes:
            raise EventTooLong(f"an event is longer than {self._max_event_bytes} bytes")

    @property
    def is_at_boundary(self) -> bool:
        """Whether no event is incomplete."""
        return not self._rest and self._long is None

    def rest(self) -> bytes | LongEvent:
        """Return what came after the last blank line."""
        return bytes(self._rest) if self._long is None else self._long


def event_data(event: bytes) -> bytes:
    """Return the joined `data` lines of an event; empty for comments and keep-alives."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:].rstrip(b"\r\n")
    if event.startswith(b"event: "):  # a name and one line of data, which may have many megabytes
        start = event.find(b"\n") + 1
        if (
            event.startswith(b"data: ", start)
            and event.endswith(b"\n\n")
            and event.find(b"\n", start) == len(event) - 2
        ):
            return event[start + 6 : -2].rstrip(b"\r")
    lines = []
    for line in event.removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        name, _, value = line.rstrip(b"\r").partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def last_data(events: bytes) -> bytes:
    """Return the data of the last of some events that has data; empty if none has."""
    return next(filter(None, map(event_data, reversed(_BLANK_LINE.split(events)))), b"")
