"""Readers of forms and of JSON, each after the rules of another language's library, to be compared with each other.

None of them shares code with the broker. What they differ in is what they make of odd input.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
SPECIAL = frozenset(b'()<>@,;:\\"/[]?=')  # Go's isTSpecial


@dataclass(frozen=True, slots=True)
class Field:
    """One part of a form; `file` is the last part of its path; None if the part is not a file."""

    name: str
    file: str | None
    value: bytes


def _shown(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def by_email(boundary: bytes, body: bytes) -> list[Field]:
    """Read with Python's own package."""
    head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    found = []
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = part.get_param("name", "", header="content-disposition")
        file = part.get_filename()
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        found.append(Field(str(name), None if file is None else _shown(file), value))
    return found


def _parts(boundary: bytes, body: bytes) -> list[tuple[dict[str, bytes], bytes]]:
    """Return headers, the last of each name, and content of each part."""
    found = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if piece.startswith(b"--"):
            break
        head, _, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = {}
        for line in head.split(b"\r\n"):
            name, _, content = line.partition(b":")
            headers[name.strip().lower().decode("latin-1")] = content.strip()
        found.append((headers, value))
    return found


def _read(
    boundary: bytes, body: bytes, disposition: Callable[[bytes], dict[str, bytes] | None], *, empty_is_file: bool
) -> list[Field]:
    found = []
    for headers, value in _parts(boundary, body):
        parameters = disposition(headers.get("content-disposition", b""))
        if parameters is None:
            continue
        file = parameters.get("filename")
        if file == b"" and not empty_is_file:
            file = None
        shown = None if file is None else _shown(file.decode("utf-8", "replace"))
        found.append(Field(parameters.get("name", b"").decode("utf-8", "replace"), shown, value))
    return found


def by_go(boundary: bytes, body: bytes) -> list[Field]:
    """Read as `mime.ParseMediaType` does: a backslash escapes a special character; a name twice spoils the header."""
    return _read(boundary, body, _go_disposition, empty_is_file=False)


def _go_disposition(header: bytes) -> dict[str, bytes] | None:
    kind, _, _ = header.partition(b";")
    if kind.strip().lower() != b"form-data":
        return None
    rest, found = header[len(kind) :], dict[str, bytes]()
    while rest := rest.lstrip():
        if rest[:1] != b";":
            return None
        rest = rest[1:].lstrip()
        if not rest:
            break
        end = next((at for at, byte in enumerate(rest) if byte not in TOKEN), len(rest))
        name, rest = rest[:end].lower().decode(), rest[end:].lstrip()
        if not name or rest[:1] != b"=":
            return None
        taken = _go_value(rest[1:].lstrip())
        if taken is None or name in found:
            return None
        found[name], rest = taken
    return found


def _go_value(text: bytes) -> tuple[bytes, bytes] | None:
    if text[:1] != b'"':
        end = next((at for at, byte in enumerate(text) if byte not in TOKEN), len(text))
        return (text[:end], text[end:]) if end else None
    value, at = bytearray(), 1
    while at < len(text):
        byte = text[at]
        if byte == ord('"'):
            return bytes(value), text[at + 1 :]
        if byte == ord("\\") and at + 1 < len(text) and text[at + 1] in SPECIAL:
            value.append(text[at + 1])
            at += 2
            continue
        if byte in b"\r\n":
            return None
        value.append(byte)
        at += 1
    return None


def by_busboy(boundary: bytes, body: bytes) -> list[Field]:
    """Read as Node's busboy does: a backslash escapes a quote or itself; the first of two parameters counts."""
    return _read(boundary, body, _busboy_disposition, empty_is_file=True)


def _busboy_disposition(header: bytes) -> dict[str, bytes] | None:
    at = next((at for at, byte in enumerate(header) if byte not in TOKEN), len(header))
    if header[:at].lower() != b"form-data":
        return None
    found: dict[str, bytes] = {}
    while at < len(header):
        at = _behind(header, at, b" \t")
        if at == len(header):
            break
        if header[at : at + 1] != b";":
            return None
        at = _behind(header, at + 1, b" \t")
        end = next((to for to in range(at, len(header)) if header[to] not in TOKEN), len(header))
        name = header[at:end].lower().decode()
        if end == len(header) and not name:
            break
        if header[end : end + 1] != b"=":
            return None
        at, value = end + 1, bytearray()
        if header[at : at + 1] == b'"':
            at += 1
            while header[at : at + 1] != b'"':
                if at >= len(header):
                    return None
                if header[at] == ord("\\") and header[at + 1 : at + 2] in (b'"', b"\\"):
                    at += 1
                value.append(header[at])
                at += 1
            at += 1
        else:
            while at < len(header) and header[at] in TOKEN:
                value.append(header[at])
                at += 1
        found.setdefault(name, bytes(value))
    return found


def _behind(text: bytes, at: int, blank: bytes) -> int:
    while at < len(text) and text[at] in blank:
        at += 1
    return at


def by_fetch(boundary: bytes, body: bytes) -> list[Field]:
    """Read as browsers write: a quote ends a name whatever stands before it; nothing is an escape."""
    return _read(boundary, body, _fetch_disposition, empty_is_file=True)


def _fetch_disposition(header: bytes) -> dict[str, bytes] | None:
    match = re.match(rb'form-data; name="([^"]*)"(?:; filename="([^"]*)")?', header, re.IGNORECASE)
    if match is None:
        return None
    return {"name": match[1]} | ({} if match[2] is None else {"filename": match[2]})


def by_splitting(boundary: bytes, body: bytes) -> list[Field]:
    """Read as a program of ten lines does: it splits at each semicolon, within quotes too; the last one counts."""
    return _read(boundary, body, _split_disposition, empty_is_file=True)


def _split_disposition(header: bytes) -> dict[str, bytes]:
    found = {}
    for piece in header.split(b";")[1:]:
        name, _, value = piece.strip().partition(b"=")
        found[name.strip().lower().decode("latin-1")] = value.strip().strip(b'"')
    return found


FORM_READERS = (by_email, by_go, by_busboy, by_fetch, by_splitting)

Pairs = list[tuple[str, object]]


def json_pairs(body: bytes) -> Pairs:
    """Return the members of a JSON object in their order, as Python reads them."""

    def kept(pairs: Pairs) -> object:
        return pairs

    pairs = json.loads(body, object_pairs_hook=kept, parse_int=str)
    assert isinstance(pairs, list)
    return pairs


def last_wins(pairs: Pairs, name: str) -> object:
    """Return a member as Python and JavaScript do."""
    return dict(pairs).get(name)


def first_wins(pairs: Pairs, name: str) -> object:
    """Return a member as some readers of C++ do."""
    return next((value for key, value in pairs if key == name), None)


def any_case(pairs: Pairs, name: str) -> object:
    """Return a member as Go's encoding/json does: in letters of any case, with the signs of K and s; the last wins."""
    folded = str.maketrans({"\u212a": "k", "\u017f": "s"})
    found = [value for key, value in pairs if key.translate(folded).lower() == name]
    return found[-1] if found else None


JSON_READERS = (last_wins, first_wins, any_case)
