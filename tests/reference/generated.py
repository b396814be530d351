"""Everything that is generated; `python -m tests.reference` writes it."""

from collections.abc import Iterator
from pathlib import Path

from tests.reference import architecture, commands, errors, methods, rest


def files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its text."""
    yield errors.SOURCE, errors.source()
    for page in (architecture, commands, errors, methods, rest):
        yield page.PAGE, page.page()
