"""Splits bytes into server-sent events, without IO. Events stay byte for byte the same."""

import re

from hero_broker.kinds.stream_rules import MAX_EVENT_BYTES

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event is longer than it may be."""


class EventSplitter:
    """Splits a stream of bytes after each blank line. Lines end in LF or CRLF only."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._rest = bytearray()
        self._max_event_bytes = max_event_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that `chunk` completes, each with its blank line.

        Raises:
            EventTooLong: more than `max_event_bytes` have come since the last blank line.
        """
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
        events = []
        start = 0
        for blank_line in _BLANK_LINE.finditer(data):  # one pass: searching again for each event would be quadratic
            events.append(data[start : blank_line.end()])
            start = blank_line.end()
        rest += data[start:]
        if len(rest) > self._max_event_bytes:
            raise EventTooLong(f"an event is longer than {self._max_event_bytes} bytes")
        return events

    @property
    def is_at_boundary(self) -> bool:
        """Whether no event is incomplete."""
        return not self._rest

    def rest(self) -> bytes:
        """Return the bytes after the last blank line."""
        return bytes(self._rest)


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
