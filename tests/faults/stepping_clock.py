"""A broker whose wall clock is off by what a file says. `python -P tests/faults/stepping_clock.py serve …`.

`STEPPING_CLOCK` names the file, which holds seconds.
"""

import os
import time
from pathlib import Path

from hero_broker.cli import main

_now_ns = time.time_ns


def step_clock(file: str) -> None:
    """Let the wall clock of this process be off by what the file says whenever it is read."""
    offset = Path(file)

    def time_ns() -> int:
        return _now_ns() + int(offset.read_text() or "0") * 1_000_000_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    step_clock(os.environ.get("STEPPING_CLOCK", os.devnull))
    main()
