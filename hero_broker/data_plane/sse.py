"""Bytes ↔ server-sent events, without IO. Events come out byte for byte as they came in."""

import re

MAX_EVENT_BYTES = 8 * 1024 * 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")


class EventTooLong(ValueError):
    """An event has no end within `MAX_EVENT_BYTES`."""


class EventSplitter:
    """Splits a stream of bytes after each blank line. Lines end in LF or CRLF, and in nothing else."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that `chunk` completes, each with its blank line.

        Raises:
            EventTooLong: what has come since the last blank line is longer than `MAX_EVENT_BYTES`.
        """
        data = self._rest + chunk if self._rest else chunk
        events = []
        start = 0
        for blank_line in _BLANK_LINE.finditer(data):  # one pass: seeking each mark anew would be quadratic
            events.append(data[start : blank_line.end()])
            start = blank_line.end()
        self._rest = data[start:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events

    @property
    def is_between(self) -> bool:
        """Whether what has come ends with an event."""
        return not self._rest

    def rest(self) -> bytes:
        """Return what came after the last blank line."""
        return self._rest


def plain_length(events: bytes) -> int:
    """Return how many bytes at the start are whole events that can neither report usage nor be the last one."""
    marks = [at for mark in (b"[DONE]", b'.done"') if (at := events.find(mark)) != -1]
    if events.count(b'"usage"') > events.count(b'"usage":null'):
        marks.append(events.find(b'"usage"'))
    end = events.rfind(b"\n\n", 0, min(marks, default=len(events)))
    return 0 if end == -1 else end + 2


def event_data(event: bytes) -> bytes:
    """Return the joined `data` lines of an event; empty for comments and keep-alives."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:].rstrip(b"\r\n")
    lines = []
    for line in event.split(b"\n"):
        name, _, value = line.rstrip(b"\r").partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
