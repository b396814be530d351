"""Splits bytes into server-sent events, without IO. Events stay byte for byte the same."""

import re

MAX_EVENT_BYTES = 8 * 1024 * 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')


class EventTooLong(ValueError):
    """An event is longer than `MAX_EVENT_BYTES`."""


class EventSplitter:
    """Splits a stream of bytes after each blank line. Lines end in LF or CRLF only."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that `chunk` completes, each with its blank line.

        Raises:
            EventTooLong: more than `MAX_EVENT_BYTES` have come since the last blank line.
        """
        rest = self._rest
        if not rest:
            data = chunk
        elif _BLANK_LINE.search(chunk) or _BLANK_LINE.search(rest[-2:] + chunk[:2]):
            data = bytes(rest) + chunk
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
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events

    @property
    def is_at_boundary(self) -> bool:
        """Whether no event is incomplete."""
        return not self._rest

    def rest(self) -> bytes:
        """Return the bytes after the last blank line."""
        return bytes(self._rest)


def plain_length(events: bytes) -> int:
    """Return the length of the leading whole events that neither report usage nor an error, nor are the last event."""
    end = len(events)
    if b'"usage"' in events or b'"error"' in events or b"[DONE]" in events or b'.done"' in events:
        end = _first_mark(events)
    blank_line = events.rfind(b"\n\n", 0, end)
    return 0 if blank_line == -1 else blank_line + 2


def _first_mark(events: bytes) -> int:
    end = _find_mark(events, b"[DONE]", len(events))
    end = _find_mark(events, b'.done"', end)
    end = _find_value(events, b'"usage"', end)
    return _find_value(events, b'"error"', end)


def _find_mark(events: bytes, mark: bytes, end: int) -> int:
    at = events.find(mark, 0, end)
    return end if at == -1 else at


def _find_value(events: bytes, name: bytes, end: int) -> int:
    """Return the position of the first member `name` before `end` that is not null, as it often is; else `end`."""
    at = events.find(name, 0, end)
    while at != -1 and events.startswith(b":null", at + len(name)):
        at = events.find(name, at + len(name), end)
    return end if at == -1 else at


def is_finished(events: bytes) -> bool:
    """Return whether a chat's events give a finish reason."""
    return _FINISH.search(events) is not None


def event_data(event: bytes) -> bytes:
    """Return the joined `data` lines of an event; empty for comments and keep-alives."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:].rstrip(b"\r\n")
    lines = []
    for line in event.removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        name, _, value = line.rstrip(b"\r").partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
