"""Becomes a broker that may do less, or more. `python -P tests/faults/limited.py [OPTION] serve …`.

`--file-bytes N` bounds each file, as a full disk does; `--as-others` takes from root the right to write everywhere;
`--open-umask` leaves all rights to what is made.
"""

import ctypes
import os
import resource
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1


def main() -> None:
    """Give up what the options name, and become the broker."""
    arguments = sys.argv[1:]
    if arguments[0] == "--file-bytes":
        most = int(arguments[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        arguments = arguments[2:]
    if arguments[0] == "--open-umask":
        os.umask(0)
        arguments = arguments[1:]
    if arguments[0] == "--as-others":
        if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
            sys.exit("root cannot give up its rights here")
        arguments = arguments[1:]
    os.execv(sys.executable, [sys.executable, "-m", "hero_broker", *arguments])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
