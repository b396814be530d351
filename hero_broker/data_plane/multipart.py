"""Rewrites a multipart form for the provider, without IO.

Fields keep their order. The model's name is replaced, and the `DROPPED_KEYS` are left out. Form parsers differ on odd
headers: escapes, duplicate names, a file without a name. So odd headers are refused, and the provider's form uses a
grammar that all parsers read alike.
"""

import re
import uuid
from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.path_spellings import check_deployment
from hero_broker.kinds.json_body import DROPPED_KEYS

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
MAX_CONTENT_TYPE_BYTES = 1024
FILE = "file"
MODEL = "model"
STREAM = "stream"
# Fields that are dropped, changed or read here. The provider must not get another one under any spelling of the name.
OWN_NAMES = frozenset((FILE, MODEL, STREAM, *DROPPED_KEYS))

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)"'
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:" + _QUOTED + rb"|((?:" + _TOKEN + rb")?))")
_END = re.compile(rb"[ \t]*;?[ \t]*")
_ESCAPED = re.compile(rb'\\(["\\])')  # any other backslash is literal, as in a Windows path
_NAME = re.compile(rb"[A-Za-z0-9_.:-]+(?:\[[A-Za-z0-9_.:-]*\])*")
_MEDIA_TYPE = re.compile(
    rb"(" + _TOKEN + rb")/" + _TOKEN + rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb"=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*"))*'
)
_NESTED = (b"multipart", b"message")  # some parsers look for parts inside these
_IDENTITY_ENCODINGS = (b"binary", b"8bit", b"7bit")
_PERCENT_ENCODED = {ord(character): f"%{ord(character):02X}" for character in '";\\\r\n'}


def parse_header(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the value of a header, in lower case, and its parameters.

    Raises:
        InvalidRequest: the header violates RFC 9110, or has a parameter twice.
    """
    value, _, _ = header.partition(b";")
    at, parameters = len(value), dict[bytes, bytes]()
    while match := _PARAMETER.match(header, at):
        name, quoted, token = match.group(1, 2, 3)
        if name.lower() in parameters:
            raise InvalidRequest("A header of the form has a duplicate parameter.")
        parameters[name.lower()] = _ESCAPED.sub(rb"\1", quoted) if token is None else token
        at = match.end()
    if not _END.fullmatch(header, at):
        raise InvalidRequest("A header of the form is malformed.")
    return value.strip(b" \t").lower(), parameters


def parse_boundary(content_type: bytes) -> bytes:
    """Return the boundary that a `content-type` header names.

    Raises:
        InvalidRequest: the header names no boundary, is too long, or is malformed.
    """
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise InvalidRequest(f"The content type must be at most {MAX_CONTENT_TYPE_BYTES} bytes long.")
    _, parameters = parse_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise InvalidRequest("The content type multipart/form-data must name a boundary.")
    return boundary


class FormRewriter:
    """Reads a form chunk by chunk and writes the provider's form."""

    def __init__(self, boundary: bytes, replace_model: Callable[[str], str], deployment: str | None = None) -> None:
        """Prepare to read; `replace_model` maps the model's name to the provider's name for it.

        A `deployment` is the model of a form that names none; another one in the form is refused.

        Raises:
            InvalidRequest: the boundary is too long.
            BrokerError: `replace_model` raised it.
        """
        self.fields: dict[str, str] = {}  # the last value of each field
        self.file_start: int | None = None  # position in the bytes written
        self.file_end: int | None = None
        self._replace_model = replace_model
        self._deployment = deployment
        self._has_model = False  # the form itself names a model
        self._boundary = f"hero-broker-{uuid.uuid4().hex}"
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
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise InvalidRequest("The boundary of the form is too long.") from error
        if deployment is not None:
            self.fields[MODEL] = deployment
            self._write_field(MODEL, replace_model(deployment))

    @property
    def content_type(self) -> str:
        """The content type of the form that is written."""
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def file_bytes(self) -> int:
        """The number of the file's bytes written so far."""
        if self.file_start is None:
            return 0
        return (self._written if self.file_end is None else self.file_end) - self.file_start

    def feed(self, data: bytes) -> bytes:
        """Read a chunk; return the bytes for the provider.

        Raises:
            InvalidRequest: the body is no well-formed form, or exceeds a bound.
            BrokerError: `replace_model` raised it.
        """
        self._delimiters += data.count(self._delimiter)
        if self._delimiters > MAX_PARTS:  # a near-miss costs the parser the most, and no valid form has one
            raise InvalidRequest(f"The form must have at most {MAX_PARTS} parts, and no boundary inside them.")
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest("The body is not a well-formed multipart form.") from error
        return self._drain_output()

    def finish(self) -> bytes:
        """End the form; return the last bytes for the provider.

        Raises:
            InvalidRequest: the form is incomplete, or lacks `model` or a non-empty `file`.
        """
        if not self._ended:
            raise InvalidRequest("The multipart form is incomplete: its final boundary is missing.")
        if MODEL not in self.fields:
            raise InvalidRequest("'model' is missing.", param=MODEL)
        if self.file_start is None:
            raise InvalidRequest("'file' is missing.", param=FILE)
        if self.file_bytes == 0:
            raise InvalidRequest("'file' is empty.", param=FILE)
        self._write(f"--{self._boundary}--\r\n".encode())
        return self._drain_output()

    def _drain_output(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def _write(self, data: bytes) -> None:
        self._out += data
        self._written += len(data)

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form must have at most {MAX_PARTS} parts.")
        self._headers = {}
        self._field = bytearray()

    def _on_header_end(self) -> None:
        name, value = self._header
        if bytes(name).lower() in self._headers:
            raise InvalidRequest("A part of the form has a duplicate header.")
        self._headers[bytes(name).lower()] = bytes(value).strip(b" \t")
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_header(self._headers.get(b"content-disposition", b""))
        name = parameters.get(b"name", b"")
        if disposition != b"form-data" or not name or b"name*" in parameters:
            raise InvalidRequest("Each part of the form must have a name.")
        if not _NAME.fullmatch(name):
            raise InvalidRequest("A name in the form may contain only letters, digits, and _ . : - [ ].")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in _IDENTITY_ENCODINGS:
            raise InvalidRequest("The content-transfer-encoding of a part must be binary, 8bit or 7bit.")
        self._name = name.decode()
        file_name = parameters.get(b"filename")
        self._is_file = file_name is not None
        self._check_name()
        if file_name is None:
            return
        stripped = file_name.decode("utf-8", "replace").strip()  # some parsers strip it
        if not stripped:
            raise InvalidRequest(f"'{self._name[:100]}' must have a non-empty file name.", param=self._name)
        self._write(self._disposition(self._name, f'; filename="{stripped.translate(_PERCENT_ENCODED)}"'))
        self._write(b"Content-Type: " + self._media_type() + b"\r\n\r\n")
        if self._name == FILE:
            self.file_start = self._written

    def _check_name(self) -> None:
        """Refuse what another parser could read as one of `OWN_NAMES`: another case, a list, a file, a duplicate."""
        root = self._name.partition("[")[0].lower().replace(".", "_").replace("-", "_")
        if root not in OWN_NAMES:
            return
        if self._name != root:
            raise InvalidRequest(f"'{self._name[:100]}' must be spelled '{root}'.", param=root)
        if self._name == FILE and not self._is_file:
            raise InvalidRequest("'file' must be a file, sent with a file name.", param=FILE)
        if self._name != FILE and self._is_file:
            raise InvalidRequest(f"'{root}' must be a field, not a file.", param=root)
        is_second = self._has_model if self._name == MODEL else self._name in self.fields
        if is_second or (self._name == FILE and self.file_start is not None):
            raise InvalidRequest(f"'{root}' must not be sent twice.", param=root)

    def _media_type(self) -> bytes:
        """Return the content type of a file.

        Raises:
            InvalidRequest: the content type is malformed, or that of a form or message inside the form.
        """
        kind = self._headers.get(b"content-type", b"") or b"application/octet-stream"
        match = _MEDIA_TYPE.fullmatch(kind)
        if match is None or match.group(1).lower() in _NESTED:
            raise InvalidRequest(f"'{self._name[:100]}' must have the content type of a file.", param=self._name)
        return kind

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._write(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > MAX_FIELD_BYTES:
            raise InvalidRequest(
                f"'{self._name[:100]}' must be at most {MAX_FIELD_BYTES} bytes long.", param=self._name
            )

    def _on_part_end(self) -> None:
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
            self._on_model(value)
            return
        self.fields[self._name] = value
        self._write_field(self._name, value)

    def _on_model(self, model: str) -> None:
        if not model:
            raise InvalidRequest("'model' must be a non-empty string.", param=MODEL)
        self._has_model = True
        if self._deployment is None:
            self.fields[MODEL] = model
            self._write_field(MODEL, self._replace_model(model))
        else:  # the first field that was written
            check_deployment(model, self._deployment)

    def _on_end(self) -> None:
        self._ended = True

    def _write_field(self, name: str, value: str) -> None:
        self._write(self._disposition(name, "") + b"\r\n" + value.encode() + b"\r\n")

    def _disposition(self, name: str, more: str) -> bytes:
        return f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'.encode()
