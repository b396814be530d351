"""Bytes ↔ server-sent events, without IO. Events come out byte for byte as they came in."""

import re

MAX_EVENT_BYTES = 8 * 1024 * 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')


class EventTooLong(ValueError):
    """An event has no end within `MAX_EVENT_BYTES`."""


class EventSplitter:
    """Splits a stream of bytes after each blank line. Lines end in LF or CRLF, and in nothing else."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that `chunk` completes, each with its blank line.

        Raises:
            EventTooLong: what has come since the last blank line is longer than `MAX_EVENT_BYTES`.
        """
        rest = self._rest
        if not rest:
            data = chunk
        elif _BLANK_LINE.search(chunk) or _BLANK_LINE.search(rest[-2:] + chunk[:2]):
            data = bytes(rest) + chunk
            rest.clear()
        else:  # what has come is not looked through again, nor copied, each time that a little more does
            data = b""
            rest += chunk
        events = []
        start = 0
        for blank_line in _BLANK_LINE.finditer(data):  # one pass: seeking each mark anew would be quadratic
            events.append(data[start : blank_line.end()])
            start = blank_line.end()
        rest += data[start:]
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events

    @property
    def is_between(self) -> bool:
        """Whether what has come ends with an event."""
        return not self._rest

    def rest(self) -> bytes:
        """Return what came after the last blank line."""
        return bytes(self._rest)


def plain_length(events: bytes) -> int:
    """Return how many bytes at the start are whole events that can neither report usage, nor fail, nor be the last."""
    end = len(events)
    if b'"usage"' in events or b'"error"' in events or b"[DONE]" in events or b'.done"' in events:
        end = _first_mark(events)
    blank_line = events.rfind(b"\n\n", 0, end)
    return 0 if blank_line == -1 else blank_line + 2


def _first_mark(events: bytes) -> int:
    end = _before(events, b"[DONE]", len(events))
    end = _before(events, b'.done"', end)
    end = _before_value(events, b'"usage"', end)
    return _before_value(events, b'"error"', end)


def _before(events: bytes, mark: bytes, end: int) -> int:
    at = events.find(mark, 0, end)
    return end if at == -1 else at


def _before_value(events: bytes, name: bytes, end: int) -> int:
    """Return where a member of this name begins that is not null; many events have one that is."""
    at = events.find(name, 0, end)
    while at != -1 and events.startswith(b":null", at + len(name)):
        at = events.find(name, at + len(name), end)
    return end if at == -1 else at


def is_finished(events: bytes) -> bool:
    """Return whether events of a chat say why it ended."""
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
