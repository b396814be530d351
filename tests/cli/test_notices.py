"""What a command says about its progress is printed as it is, or not at all."""

import os
import sys

import pytest

from hero_broker.cli.notices import warn


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    warn("[bold]1 of 2[/bold] :+1: http://[::1]:33850 é")
    warn("shown\rhidden")

    assert capsys.readouterr() == ("", "[bold]1 of 2[/bold] :+1: http://[::1]:33850 é\nshownhidden\n")


def test_reader_that_has_left_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stderr", os.fdopen(os.dup(pipe.fileno()), "w", buffering=1))

        warn("nobody reads this")

        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stderr.fileno())
        os.close(null)
        sys.stderr.close()
