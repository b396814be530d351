"""What a hang-up means depends on whether there is a terminal, and on what was chosen before."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e_support import BANNER


@contextmanager
def on_terminal(tmp_path: Path, first: Callable[[], object]) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """Run a broker whose log is a terminal, after `first` in its process; yield it and the terminal's other side."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "hero_broker", "serve", "--fake", "--listen", "127.0.0.1:0"]
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
    with subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=its, preexec_fn=first) as process:
        os.close(its)
        try:
            output = ""
            while not BANNER.search(output):
                output += os.read(ours, 65536).decode()
            yield process, ours
        finally:
            process.terminate()


def test_terminal_that_is_closed_stops_a_broker_in_order(tmp_path: Path) -> None:
    with on_terminal(tmp_path, lambda: None) as (process, terminal):
        process.send_signal(signal.SIGHUP)
        os.close(terminal)  # from now on its log lines fail

        assert process.wait(timeout=30) == 0


def test_hang_up_that_was_ignored_before_stays_ignored_on_a_terminal(tmp_path: Path) -> None:
    with on_terminal(tmp_path, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as (process, terminal):
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()

        assert process.wait(timeout=30) == 0
        os.close(terminal)

    assert int(status.partition("SigIgn:")[2].split()[0], 16) & 1 << (signal.SIGHUP - 1)
