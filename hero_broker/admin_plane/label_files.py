"""Reads CSV files of labels: lines of a target and its label, as `hero-broker labels export` writes them."""

import csv
import io
from collections.abc import Iterator

from hero_broker.admin_plane import params
from hero_broker.core.errors import InvalidParams
from hero_broker.core.labels import MAX_LABEL_CHARACTERS
from hero_broker.util.spreadsheets import text_of

HEADER = ("target", "label")
SHOWN_CHARACTERS = 60  # of a wrong target
SEPARATORS = ",;\t"  # spreadsheets choose one by the language of their user; no target contains any of them


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the labels by their targets in canonical form, and what is wrong with which line.

    Blank lines, a header and spaces around targets and labels are ignored.
    """
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for number, cells in _records(text, faults):
        if not lines and not faults and tuple(cell.lower() for cell in cells) == HEADER:
            continue
        if len(cells) != len(HEADER):
            faults.append(f"line {number}: must be a target and its label, with a separator between them")
            continue
        try:
            target, label = params.parse_target(cells[0]), _parse_label(cells[1])
        except InvalidParams as error:
            shown = f" {cells[0][:SHOWN_CHARACTERS]!r}" if error.param == "target" else ""
            faults.append(f"line {number}: {error.param}{shown} {error.reason}")
            continue
        if target in lines:
            faults.append(f"line {number}: target {target!r} is that of line {lines[target]} too")
        else:
            labels[target], lines[target] = label, number
    if not labels and not faults:
        faults.append("line 1: must be a target and its label: there are none")
    return labels, faults


def _records(text: str, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each record's first line, and its cells; add a fault where the text is no CSV."""
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    first = next((line for line in lines if line.strip()), "")
    separator = next((character for character in first if character in SEPARATORS), SEPARATORS[0])
    reader = csv.reader(lines, delimiter=separator, strict=True)
    number = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            while len(stripped) > len(HEADER) and not stripped[-1]:  # spreadsheets fill all lines to the same width
                stripped.pop()
            if any(stripped):
                yield number, stripped
            number = reader.line_num + 1
    except csv.Error as error:
        faults.append(f"line {number}: {error}")


def _parse_label(text: str) -> str:
    label = params.parse_name("label", text_of(text))
    if not 1 <= len(label) <= MAX_LABEL_CHARACTERS:
        raise InvalidParams("label", f"must have 1 to {MAX_LABEL_CHARACTERS} characters")
    return label
