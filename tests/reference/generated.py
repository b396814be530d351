"""Everything that is generated: code of the client, and pages. `python -m tests.reference` writes it."""

from collections.abc import Iterator
from pathlib import Path

from hero_broker.admin_plane.contract import load_document
from tests.reference import architecture, client, commands, errors, methods, rest


def files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its text; the client comes first, because the commands import it."""
    yield from client.files(load_document())
    yield errors.SOURCE, errors.source()
    for page in (architecture, commands, errors, methods, rest):
        yield page.PAGE, page.page()
