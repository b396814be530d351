"""Log lines: one JSON object an event, of our own loggers and all others, without secrets and without a flood.

An exception is told by its type and where it was raised, never by its text: the text of a parser's or a driver's
exception quotes what it was given, and that may be a prompt, a key or a row.
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
SECRET_LEAST = 4  # characters; anything shorter would be found in ordinary words
LINES_PER_PLACE, PLACE_WINDOW_S = 20, 60.0


def configure(secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Write the log lines of this process to `stream` (default: standard error), with `secrets` masked."""
    handler = _QuietHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter(secrets))
    handler.addFilter(RateLimitFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: `time`, `level`, `logger`, `event`; `request_id`, `error`, `at`, `left_out` if any.

    Everything beyond printable ASCII is escaped, so that what a caller sends cannot end a line or colour a terminal.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(sorted((one for one in secrets if len(one) >= SECRET_LEAST), key=len, reverse=True))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without its end."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._masked(_event(record)),
        }
        for name in ("request_id", "left_out"):
            if value := record.__dict__.get(name):
                told[name] = value
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = " from ".join(_kinds(record.exc_info[1]))
            told["at"] = _frames(record.exc_info[1])
        return json.dumps(told)

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:MAX_CHARACTERS]


class RateLimitFilter(logging.Filter):
    """Lets 20 records a minute pass from each line of code; the first one after that says how many did not."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._places: dict[tuple[str, int], tuple[float, int]] = {}  # when its window began, records since

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
    """Writes lines; where that fails (a full disk, a closed terminal), a log line is what is lost, and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say nothing: there is nowhere to say it."""


def _event(record: logging.LogRecord) -> str:
    """Return what a record says; of others' records the first line: asyncio's next ones show objects."""
    text = record.getMessage()
    return text if record.name.partition(".")[0] == OURS else text.strip().partition("\n")[0]


def _kinds(error: BaseException | None) -> list[str]:
    """Return the types of an exception and of what it came from, and the system's word for an error of the system."""
    kinds: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        number = error.errno if isinstance(error, OSError) else None
        kinds.append(kind if number is None else f"{kind} ({os.strerror(number)})")
        error = error.__cause__ or error.__context__
    return kinds


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-MAX_FRAMES:]]


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread is not None else "?"
    if failed.exc_value is not None:
        told = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logging.getLogger(OURS).critical("the thread %s ended", name, exc_info=told)
