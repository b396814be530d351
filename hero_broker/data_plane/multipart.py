"""Bytes of a multipart form → the same form for the provider, without IO.

Fields are read and passed on in their order; the model's name is replaced, and what clients may not set is left out.
Readers of forms differ in what they make of odd headers: escapes, a name that comes twice, a file without a name. So
odd ones are refused, and the provider's form is written in a grammar that all of them read alike.
"""

import re
import uuid
from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.json_body import DROPPED_KEYS

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
MAX_CONTENT_TYPE_BYTES = 1024
FILE = "file"
MODEL = "model"
STREAM = "stream"
# What is dropped, changed or read here; a provider must not find another one of that name, in any spelling.
OWN_NAMES = frozenset((FILE, MODEL, STREAM, *DROPPED_KEYS))

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)"'
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:" + _QUOTED + rb"|((?:" + _TOKEN + rb")?))")
_END = re.compile(rb"[ \t]*;?[ \t]*")
_ESCAPED = re.compile(rb'\\(["\\])')  # a backslash before anything else is itself, as in a path of Windows
_NAME = re.compile(rb"[A-Za-z0-9_.:-]+(?:\[[A-Za-z0-9_.:-]*\])*")
_MEDIA_TYPE = re.compile(
    rb"(" + _TOKEN + rb")/" + _TOKEN + rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb"=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*"))*'
)
_NESTED = (b"multipart", b"message")  # some readers look for parts within these
_UNCODED = (b"binary", b"8bit", b"7bit")
_SPELLED = {ord(character): f"%{ord(character):02X}" for character in '";\\\r\n'}


def parameters(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the value of a header, in lower case, and its parameters.

    Raises:
        InvalidRequest: it is not written as RFC 9110 says, or a parameter comes twice.
    """
    value, _, _ = header.partition(b";")
    at, found = len(value), dict[bytes, bytes]()
    while match := _PARAMETER.match(header, at):
        name, quoted, token = match.group(1, 2, 3)
        if name.lower() in found:
            raise InvalidRequest("A header of the form has a parameter twice.")
        found[name.lower()] = _ESCAPED.sub(rb"\1", quoted) if token is None else token
        at = match.end()
    if not _END.fullmatch(header, at):
        raise InvalidRequest("A header of the form is not readable.")
    return value.strip(b" \t").lower(), found


def parse_boundary(content_type: bytes) -> bytes:
    """Return the boundary that a `content-type` header names.

    Raises:
        InvalidRequest: it names none, is too long, or is not readable.
    """
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise InvalidRequest(f"The content type must have at most {MAX_CONTENT_TYPE_BYTES} bytes.")
    _, found = parameters(content_type)
    boundary = found.get(b"boundary", b"")
    if not boundary:
        raise InvalidRequest("The content type multipart/form-data must name a boundary.")
    return boundary


class FormRewriter:
    """Reads a form piece by piece and writes the provider's."""

    def __init__(self, boundary: bytes, replace_model: Callable[[str], str]) -> None:
        """Prepare to read; `replace_model` is told the model's name, and returns the provider's name for it.

        Raises:
            InvalidRequest: the boundary is too long.
        """
        self.fields: dict[str, str] = {}  # the last value of each field
        self.file_start: int | None = None  # in the bytes that were written
        self.file_end: int | None = None
        self._replace_model = replace_model
        self._mark = f"hero-broker-{uuid.uuid4().hex}"
        self._out = bytearray()
        self._written = 0
        self._parts = 0
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._is_file = False
        self._field = bytearray()
        self._ended = False
        self._delimiter = b"\r\n--" + boundary
        self._delimiters = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_ends,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidRequest("The boundary of the form is too long.") from error

    @property
    def content_type(self) -> str:
        """The content type of what is written."""
        return f"multipart/form-data; boundary={self._mark}"

    @property
    def file_bytes(self) -> int:
        """Bytes of the file that have been written so far."""
        if self.file_start is None:
            return 0
        return (self._written if self.file_end is None else self.file_end) - self.file_start

    def feed(self, data: bytes) -> bytes:
        """Read a piece; return what the provider gets for it.

        Raises:
            InvalidRequest: it is no form, or breaks a bound; whatever `replace_model` raises.
        """
        self._delimiters += data.count(self._delimiter)
        if self._delimiters > MAX_PARTS:  # what only begins like one costs the parser the most, and stands in no form
            raise InvalidRequest(f"The form must have at most {MAX_PARTS} parts, and its boundary nowhere else.")
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest("The body is not a readable multipart form.") from error
        return self._take()

    def finish(self) -> bytes:
        """Note that nothing more comes; return the end of the provider's form.

        Raises:
            InvalidRequest: the form is not complete.
        """
        if not self._ended:
            raise InvalidRequest("The multipart form ends too early; its last boundary is missing.")
        if MODEL not in self.fields:
            raise InvalidRequest("'model' is missing.", param=MODEL)
        if self.file_start is None:
            raise InvalidRequest("'file' is missing.", param=FILE)
        if self.file_bytes == 0:
            raise InvalidRequest("'file' is empty.", param=FILE)
        self._write(f"--{self._mark}--\r\n".encode())
        return self._take()

    def _take(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def _write(self, data: bytes) -> None:
        self._out += data
        self._written += len(data)

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form must have at most {MAX_PARTS} parts.")
        self._headers = {}
        self._field = bytearray()

    def _header_ends(self) -> None:
        name, value = self._header
        if bytes(name).lower() in self._headers:
            raise InvalidRequest("A part of the form has a header twice.")
        self._headers[bytes(name).lower()] = bytes(value).strip(b" \t")
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        disposition, found = parameters(self._headers.get(b"content-disposition", b""))
        name = found.get(b"name", b"")
        if disposition != b"form-data" or not name or b"name*" in found:
            raise InvalidRequest("Each part of the form must have a name.")
        if not _NAME.fullmatch(name):
            raise InvalidRequest("A name in the form may have letters, digits, and _ . : - [ ] alone.")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in _UNCODED:
            raise InvalidRequest("A part of the form must not be encoded.")
        self._name = name.decode()
        file_name = found.get(b"filename")
        self._is_file = file_name is not None
        self._check_name()
        if file_name is None:
            return
        shown = file_name.decode("utf-8", "replace").strip()  # as some readers do
        if not shown:
            raise InvalidRequest(f"'{self._name[:100]}' must have a file name that is not empty.", param=self._name)
        self._write(self._disposition(f'; filename="{shown.translate(_SPELLED)}"'))
        self._write(b"Content-Type: " + self._media_type() + b"\r\n\r\n")
        if self._name == FILE:
            self.file_start = self._written

    def _check_name(self) -> None:
        """Refuse what another reader could take for a name of ours: in other letters, as a list, as a file, twice."""
        root = self._name.partition("[")[0].lower().replace(".", "_").replace("-", "_")
        if root not in OWN_NAMES:
            return
        if self._name != root:
            raise InvalidRequest(f"'{self._name[:100]}' must be spelled '{root}'.", param=root)
        if self._name == FILE and not self._is_file:
            raise InvalidRequest("'file' must be a file, sent with a file name.", param=FILE)
        if self._name != FILE and self._is_file:
            raise InvalidRequest(f"'{root}' must be a field, not a file.", param=root)
        if self._name in self.fields or (self._name == FILE and self.file_start is not None):
            raise InvalidRequest(f"'{root}' must be sent once.", param=root)

    def _media_type(self) -> bytes:
        """Return the content type of a file.

        Raises:
            InvalidRequest: it is none, or one of a form within the form.
        """
        kind = self._headers.get(b"content-type", b"") or b"application/octet-stream"
        match = _MEDIA_TYPE.fullmatch(kind)
        if match is None or match.group(1).lower() in _NESTED:
            raise InvalidRequest(f"The content type of '{self._name[:100]}' must be one of a file.", param=self._name)
        return kind

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._write(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > MAX_FIELD_BYTES:
            raise InvalidRequest(f"'{self._name[:100]}' must have at most {MAX_FIELD_BYTES} bytes.", param=self._name)

    def _part_ends(self) -> None:
        if self._is_file:
            if self._name == FILE:
                self.file_end = self._written
            self._write(b"\r\n")
            return
        if self._name in DROPPED_KEYS:
            return
        try:
            value = self._field.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"'{self._name[:100]}' must be text in UTF-8.", param=self._name) from error
        if self._name == MODEL and not value:
            raise InvalidRequest("'model' must be a text that is not empty.", param=MODEL)
        self.fields[self._name] = value
        sent = self._replace_model(value) if self._name == MODEL else value
        self._write(self._disposition("") + b"\r\n" + sent.encode() + b"\r\n")

    def _end(self) -> None:
        self._ended = True

    def _disposition(self, more: str) -> bytes:
        return f'--{self._mark}\r\nContent-Disposition: form-data; name="{self._name}"{more}\r\n'.encode()
