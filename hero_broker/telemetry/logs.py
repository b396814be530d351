"""Writes log lines for all loggers: one JSON object per event, with secrets redacted and repetition limited.

An exception is logged as its type and traceback, never its text: parsers and drivers quote their input, which may be a
prompt, a key or a row.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

OURS = "hero_broker"
MAX_CHARACTERS = 1000  # of an event
MAX_FRAMES = 12  # of a traceback; the innermost are kept
MIN_SECRET_LENGTH = 4  # characters; anything shorter occurs in ordinary words
LINES_PER_PLACE, PLACE_WINDOW_S = 20, 60.0


def configure(secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Write this process's log lines to `stream` (default: standard error), with `secrets` redacted."""
    handler = _QuietHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter(secrets))
    handler.addFilter(RateLimitFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_failure


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: `time`, `level`, `logger`, `event`; `request_id`, `error`, `at`, `left_out` if any.

    Everything but printable ASCII is escaped, so that text from a caller cannot end a line or colour a terminal.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(
            sorted((secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH), key=len, reverse=True)
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line, without the newline."""
        members: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._redact(_event(record)),
        }
        for name in ("request_id", "left_out"):
            if value := record.__dict__.get(name):
                members[name] = value
        if record.exc_info and record.exc_info[1] is not None:
            members["error"] = " from ".join(_type_names(record.exc_info[1]))
            members["at"] = _frames(record.exc_info[1])
        return json.dumps(members)

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:MAX_CHARACTERS]


class RateLimitFilter(logging.Filter):
    """Passes 20 records a minute from each line of code; the first one of the next window counts those left out."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._places: dict[tuple[str, int], tuple[float, int]] = {}  # start of the window, records in it

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes."""
        place, now = (record.pathname, record.lineno), self._now()
        began, count = self._places.get(place, (now, 0))
        if now - began >= PLACE_WINDOW_S:
            record.left_out = max(0, count - LINES_PER_PLACE)
            began, count = now, 0
        self._places[place] = (began, count + 1)
        return count < LINES_PER_PLACE


class _QuietHandler(logging.StreamHandler[TextIO]):
    """Writes lines; if that fails (a full disk, a closed terminal), only the log line is lost."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Ignore the error: there is nowhere to report it."""


def _event(record: logging.LogRecord) -> str:
    """Return a record's message; of foreign loggers only the first line, as asyncio's later lines show objects."""
    text = record.getMessage()
    return text if record.name.partition(".")[0] == OURS else text.strip().partition("\n")[0]


def _type_names(error: BaseException | None) -> list[str]:
    """Return the types of an exception and of its causes; for an OSError also the system's message."""
    names: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        number = error.errno if isinstance(error, OSError) else None
        names.append(name if number is None else f"{name} ({os.strerror(number)})")
        error = error.__cause__ or error.__context__
    return names


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-MAX_FRAMES:]]


def _log_thread_failure(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else "?"
    if args.exc_value is not None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(OURS).critical("the thread %s failed", name, exc_info=exc_info)
