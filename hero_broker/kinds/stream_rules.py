"""What the events of a kind's streams mean: text, usage, the last one."""

import re
from dataclasses import dataclass

import msgspec

DONE = b"[DONE]"
MAX_EVENT_BYTES = 8 * 1024 * 1024
FINISH_REASON = re.compile(rb'"finish_reason"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class StreamRules:
    """How a stream of events is read. Its bytes are searched, because parsing every event would take too long."""

    last_types: tuple[bytes, ...] = ()  # the `type` of a stream's last event, in quotes; none: only [DONE] is the last
    must_end: bool = False  # a stream without its last event is incomplete
    finish: re.Pattern[bytes] | None = None  # ends a stream that has no last event; None: it may end anywhere
    delta_marks: tuple[bytes, bytes] = (b'"content"', b'"text"')  # an event with one of these has a piece of text,
    empty_deltas: tuple[bytes, ...] = (b'"content":""', b'"content":null')  # unless it has one of these
    has_long_events: bool = False  # the settings bound the length of an event; else it is `MAX_EVENT_BYTES`

    def plain_length(self, events: bytes) -> int:
        """Return the length of the leading whole events that have no usage and no error, and are not the last."""
        end = len(events)
        if b'"usage"' in events or b'"error"' in events or DONE in events:
            end = self._first_mark(events)
        else:
            for mark in self.last_types:  # `any` takes twice as long
                if mark in events:
                    end = self._first_mark(events)
                    break
        blank_line = events.rfind(b"\n\n", 0, end)
        return 0 if blank_line == -1 else blank_line + 2

    def _first_mark(self, events: bytes) -> int:
        end = _find_mark(events, DONE, len(events))
        for mark in self.last_types:
            end = _find_mark(events, mark, end)
        end = _find_value(events, b'"usage"', end)
        return _find_value(events, b'"error"', end)

    def is_last(self, data: bytes) -> bool:
        """Return whether an event is the last one of its stream."""
        if data.startswith(DONE):
            return True
        return any(mark in data for mark in self.last_types) and _type_of(data) in self.last_types

    def is_delta(self, data: bytes) -> bool:
        """Return whether an event has a piece of text."""
        first, second = self.delta_marks
        return (first in data or second in data) and not any(empty in data for empty in self.empty_deltas)

    def count_deltas(self, events: bytes) -> int:
        """Return about how many of some whole events have a piece of text."""
        first, second = self.delta_marks
        return events.count(b"\n\n") if first in events or second in events else 0

    def is_finished(self, events: bytes) -> bool:
        """Return whether these events, the latest of a stream, say that it is complete."""
        return not self.must_end and (self.finish is None or self.finish.search(events) is not None)


class _TypedEvent(msgspec.Struct):
    """The member of an event that names its type."""

    type: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(_TypedEvent)


def _type_of(data: bytes) -> bytes:
    """Return the JSON of an event's `type`; empty if it has none or is not a JSON object."""
    try:
        return bytes(_DECODER.decode(data).type)
    except (msgspec.DecodeError, RecursionError):
        return b""


def has_error(data: bytes) -> bool:
    """Return whether an event has the word "error" as a name or a value, and as a name not with the value null."""
    return _find_value(data, b'"error"', len(data)) < len(data)


def _find_mark(events: bytes, mark: bytes, end: int) -> int:
    at = events.find(mark, 0, end)
    return end if at == -1 else at


def _find_value(events: bytes, name: bytes, end: int) -> int:
    """Return the position of the first member `name` before `end` that is not null, as it often is; else `end`."""
    at = events.find(name, 0, end)
    while at != -1 and events.startswith(b":null", at + len(name)):
        at = events.find(name, at + len(name), end)
    return end if at == -1 else at
