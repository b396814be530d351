"""Bytes of a multipart form → the same form for the provider, without IO.

Fields are read and passed on in their order; the model's name is replaced, and what clients may not set is left out.
"""

import uuid
from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.bodies import DROPPED_KEYS

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
FILE = "file"
MODEL = "model"


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary that a `content-type` header names.

    Raises:
        InvalidRequest: it names none.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
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
        self.file_name: str | None = None
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
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        self._is_file = file_name is not None
        if not self._name:
            raise InvalidRequest("Each part of the form must have a name.")
        if self._name == FILE and not self._is_file:
            raise InvalidRequest("'file' must be a file, sent with a file name.", param=FILE)
        if file_name is None:
            return
        shown = file_name.decode("utf-8", "replace")
        self._write(self._disposition(f'; filename="{_quoted(shown)}"'))
        kind = self._headers.get(b"content-type", b"application/octet-stream")
        self._write(b"Content-Type: " + kind + b"\r\n\r\n")
        if self._name == FILE:
            if self.file_start is not None:
                raise InvalidRequest("'file' must be sent once.", param=FILE)
            self.file_name, self.file_start = shown, self._written

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
        if self._name == MODEL:
            if MODEL in self.fields:
                raise InvalidRequest("'model' must be sent once.", param=MODEL)
            if not value:
                raise InvalidRequest("'model' must be a text that is not empty.", param=MODEL)
        self.fields[self._name] = value
        sent = self._replace_model(value) if self._name == MODEL else value
        self._write(self._disposition("") + b"\r\n" + sent.encode() + b"\r\n")

    def _end(self) -> None:
        self._ended = True

    def _disposition(self, more: str) -> bytes:
        return f'--{self._mark}\r\nContent-Disposition: form-data; name="{_quoted(self._name)}"{more}\r\n'.encode()


def _quoted(text: str) -> str:
    """Spell a name as browsers do: what would end the quotes or the line is percent-encoded."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
