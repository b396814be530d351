"""Prints progress and faults on standard error, as plain text: without rich, which a broker then need not load."""

import sys

# Characters that move the cursor, and so could hide what is printed before them.
_MOVES = dict.fromkeys(map(ord, "\a\b\v\f\r"))


def warn(text: str) -> None:
    """Print progress, a warning or an error on standard error; ignore it if that cannot be written."""
    try:
        sys.stderr.write(f"{text.translate(_MOVES)}\n")
        sys.stderr.flush()
    except OSError:
        return


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as `1 row` or `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
