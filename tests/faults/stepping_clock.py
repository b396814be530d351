"""A broker whose wall clock is off by what a file says. `python -P tests/faults/stepping_clock.py serve …`.

`STEPPING_CLOCK` names the file, which holds seconds.
"""

import os
import time
from pathlib import Path

from hero_broker.cli import main

_OFFSET = Path(os.environ.get("STEPPING_CLOCK", os.devnull))
_now_ns = time.time_ns


def time_ns() -> int:
    """Return nanoseconds since 1970, off by what the file says."""
    return _now_ns() + int(_OFFSET.read_text() or "0") * 1_000_000_000


if __name__ == "__main__":
    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    main()
