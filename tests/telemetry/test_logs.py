"""A log line is one JSON object that holds no secret, and lines do not flood."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hero_broker.telemetry import logs

KEY = "sk-live-0123456789"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What this process logs; the loggers are as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = (root.handlers[:], root.level, ours.level, threading.excepthook)
    # Other tests of this process run uvicorn with its own log, which the broker never does.
    servers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error")]
    theirs = [(server.handlers, server.propagate, server.level) for server in servers]
    for server in servers:
        server.handlers, server.propagate = [], True
        server.setLevel(logging.NOTSET)
    opened = io.StringIO()
    logs.configure([KEY, "ab"], opened)
    yield opened
    root.handlers[:], root.level, ours.level, threading.excepthook = before
    logging.captureWarnings(False)
    for server, (handlers, propagate, level) in zip(servers, theirs, strict=True):
        server.handlers, server.propagate = handlers, propagate
        server.setLevel(level)


def log_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("name", ["hero_broker.edge.middleware", "uvicorn.error", "asyncio"])
def test_line_of_any_logger_is_one_object_with_its_request(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("it %s", "failed", extra={"request_id": "0190"})

    (line,) = log_lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": name, "event": "it failed", "request_id": "0190"}


def test_control_characters_cannot_end_a_line_or_colour_a_terminal(stream: io.StringIO) -> None:
    logging.getLogger("hero_broker").warning("%s", "a\nb\x1b[31m\x9b31m\u2028")

    assert stream.getvalue().isascii()
    assert stream.getvalue()[:-1].isprintable()
    assert log_lines(stream)[0]["event"] == "a\nb\x1b[31m\x9b31m\u2028"


def test_text_that_is_no_unicode_is_told() -> None:
    record = logging.LogRecord("hero_broker", logging.WARNING, "a.py", 1, "%s", ("\ud800",), None)

    assert '"event": "\\ud800"' in logs.JsonFormatter().format(record)


def test_exception_is_told_by_type_and_place_without_its_text(stream: io.StringIO) -> None:
    try:
        try:
            raise ValueError("the prompt")
        except ValueError as error:
            raise PermissionError(13, "Permission denied", "/the/path") from error
    except PermissionError:
        logging.getLogger("hero_broker").exception("it failed")

    (line,) = log_lines(stream)
    assert line["error"] == "PermissionError (Permission denied) from ValueError"
    assert line["at"][-1].endswith("test_exception_is_told_by_type_and_place_without_its_text")
    assert "prompt" not in stream.getvalue()
    assert "/the/path" not in stream.getvalue()


def test_known_secret_is_masked_whoever_logs_it(stream: io.StringIO) -> None:
    logging.getLogger("other").error("a key: %s, %s", KEY, "absent")

    assert log_lines(stream)[0]["event"] == "a key: ***, absent"


def test_of_others_lines_the_first_alone_is_told(stream: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task ValueError('the prompt')>")

    assert log_lines(stream)[0]["event"] == "Task exception was never retrieved"


def test_lines_of_one_place_are_limited_and_counted() -> None:
    now = 0.0
    limit = logs.RateLimitFilter(lambda: now)

    def record(lineno: int) -> logging.LogRecord:
        return logging.LogRecord("hero_broker", logging.WARNING, "a.py", lineno, "once more", None, None)

    passed = [limit.filter(record(1)) for _ in range(999)]
    other = limit.filter(record(2))
    now = logs.PLACE_WINDOW_S
    later = record(1)

    assert sum(passed) == logs.LINES_PER_PLACE
    assert other
    assert limit.filter(later)
    assert later.__dict__["left_out"] == 999 - logs.LINES_PER_PLACE


def test_thread_that_fails_is_told_without_its_text(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("the prompt")

    failing = threading.Thread(target=fail, name="a thread")
    failing.start()
    failing.join()

    (line,) = log_lines(stream)
    assert (line["level"], line["event"], line["error"]) == ("critical", "the thread a thread failed", "ValueError")
    assert "prompt" not in stream.getvalue()


def test_line_that_cannot_be_written_fails_nobody(capsys: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    stream.close()

    logging.getLogger("hero_broker").warning("it failed")

    assert capsys.readouterr().err == ""
    assert sys.exc_info() == (None, None, None)
