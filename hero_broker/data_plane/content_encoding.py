"""Decodes request bodies in gzip or zstd, piece by piece; its counterpart is `providers.upstream.decoding`."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from hero_broker.core.errors import InvalidRequest, UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP_BYTES = 128 * 1024  # decoded at once, within a millisecond; other tasks run between two steps
MAX_WINDOW_BITS = 23  # of zstd: 8 MiB, which RFC 9659 lets clients use; the memory of one decoder

_HEADER = b"content-encoding"
_IDENTITY = b"identity"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _Gzip:
    """Decompresses one gzip member; unlike zlib's own decompressor, it keeps what it has not read yet."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, /, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zstd() -> _Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_BITS})


_DECOMPRESSORS: Mapping[bytes, tuple[str, Callable[[], _Decompressor]]] = {
    b"gzip": ("gzip", _Gzip),
    b"x-gzip": ("gzip", _Gzip),  # RFC 9110, section 8.4.1.3
    b"zstd": ("zstd", _zstd),
}


class RequestDecoder:
    """Decodes one body, which must be one gzip member or one zstd frame."""

    def __init__(self, encoding: bytes, max_bytes: int) -> None:
        """Prepare to decode; `encoding` is one that `check_encoding` has accepted, and not identity."""
        self._name, make = _DECOMPRESSORS[encoding]
        self._decompressor = make()
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def is_too_large(self) -> bool:
        """Whether the decoded body has more than `max_bytes`; nothing more is decoded then."""
        return self._size > self._max_bytes

    async def feed(self, data: bytes) -> None:
        """Decode a piece of the body.

        Raises:
            InvalidRequest: the body is not in its encoding, or something follows its end.
        """
        # Of a long piece, each step would copy what it leaves over.
        for start in range(0, len(data), STEP_BYTES):
            encoded = data[start : start + STEP_BYTES]
            while self._decode(encoded):
                encoded = b""
                await asyncio.sleep(0)
            if self.is_too_large:
                return

    def finish(self) -> bytes:
        """Return the decoded body.

        Raises:
            InvalidRequest: the body is truncated.
        """
        if not self._decompressor.eof:
            raise InvalidRequest(f"The body is truncated: its {self._name} data has no end.")
        return b"".join(self._pieces)

    def _decode(self, data: bytes) -> bool:
        """Decode up to `STEP_BYTES`; return whether more may follow from the same data."""
        decompressor = self._decompressor
        try:
            if decompressor.eof:
                piece, has_rest = b"", bool(data)
            else:
                piece = decompressor.decompress(data, max_length=STEP_BYTES)
                has_rest = bool(decompressor.unused_data)
        except (zlib.error, zstd.ZstdError) as error:
            raise InvalidRequest(f"The body is not in {self._name}, as content-encoding says: {error}.") from error
        if has_rest:
            raise InvalidRequest(f"The body has more data after the end of its {self._name} data.")
        self._size += len(piece)
        self._pieces.append(piece)
        return len(piece) == STEP_BYTES and not decompressor.eof and not self.is_too_large


def check_encoding(headers: Iterable[tuple[bytes, bytes]], *, may_compress: bool) -> bytes | None:
    """Return the encoding of a request's body; None if the body is as it is.

    Raises:
        UnsupportedMedia: the encoding is another one than gzip, zstd and identity, or several; without `may_compress`,
            any other than identity.
    """
    encodings = [value.strip().lower() for name, value in headers if name == _HEADER]
    if not encodings or encodings == [_IDENTITY]:
        return None
    if may_compress and len(encodings) == 1 and encodings[0] in _DECOMPRESSORS:
        return encodings[0]
    error = UnsupportedMedia(
        "The content encoding must be one of gzip, zstd and identity."
        if may_compress
        else "A form must not be compressed."
    )
    error.headers = ((b"accept-encoding", b"gzip, zstd" if may_compress else _IDENTITY),)  # RFC 9110, section 12.5.3
    raise error


def encoded_bound(max_bytes: int) -> int:
    """Return how long a body may be before it is decoded: what cannot be compressed gets longer by less than this."""
    return max_bytes + max_bytes // 128 + 1024
