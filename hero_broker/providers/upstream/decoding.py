"""Decodes a response's body in gzip or deflate, piece by piece."""

import asyncio
import zlib
from typing import Protocol

from hero_broker.core.errors import ProviderBadAnswer

INLINE_BYTES = 64 * 1024  # the largest piece that is passed on in the loop iteration in which it arrives
_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MEMBER_MARK = b"\x1f\x8b"  # how each member of a gzip body begins
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Content(Protocol):
    """A body as it arrives."""

    def read_nowait(self) -> bytes: ...
    async def readany(self) -> bytes: ...
    def at_eof(self) -> bool: ...


def can_decode(coding: str) -> bool:
    """Return whether `DecodedBody` knows a content coding, in lower case."""
    return coding in _WINDOW_BITS


class DecodedBody:
    """A body in gzip or deflate, decoded piece by piece; a `Content`.

    The HTTP client does not decode: if it lacks a coding, it rejects the whole response, head and status included.
    """

    def __init__(self, content: Content, coding: str) -> None:
        self._content = content
        self._coding = coding
        self._encoded = b""
        self._decompressor = zlib.decompressobj(_WINDOW_BITS[coding])
        self._mark = b""  # the first byte of what may be another member's mark
        self._has_begun = False  # the coding's variant is known
        self._has_more = False  # the last piece had the maximum length

    def read_nowait(self) -> bytes:
        """Return what has arrived, at most `INLINE_BYTES` decoded.

        Raises:
            ProviderBadAnswer: the body is not in the coding that its header names, or is truncated.
        """
        while True:
            if self._encoded or self._has_more:
                if piece := self._decompress():
                    return piece
                continue
            self._encoded = self._content.read_nowait()
            if not self._encoded:
                if self._content.at_eof() and not self.at_eof():
                    raise ProviderBadAnswer("The provider's response is truncated.", detail=self._coding)
                return b""

    async def readany(self) -> bytes:
        """Wait for the next decoded piece and return it; empty at the end. Other tasks run between two pieces."""
        if self._has_more:
            await asyncio.sleep(0)
        while not (piece := self.read_nowait()) and not self.at_eof():
            self._encoded = await self._content.readany()
        return piece

    def at_eof(self) -> bool:
        """Return whether nothing more will come."""
        is_complete = self._decompressor.eof or not self._has_begun
        return is_complete and not self._encoded and self._content.at_eof()

    def _decompress(self) -> bytes:
        encoded, self._encoded, self._has_more = self._encoded, b"", False
        if not self._has_begun:
            self._has_begun = True
            if self._coding == "deflate" and encoded[0] & 0xF != zlib.DEFLATED:  # some omit the zlib header
                self._decompressor = zlib.decompressobj(_RAW_DEFLATE)
        elif self._decompressor.eof:  # gzip may have several members; anything else that follows is padding
            encoded, self._mark = self._mark + encoded, b""
            if self._coding == "deflate" or not encoded.startswith(_MEMBER_MARK):
                self._mark = encoded if encoded == _MEMBER_MARK[:1] else b""
                return b""
            self._decompressor = zlib.decompressobj(_GZIP)
        try:
            piece = self._decompressor.decompress(encoded, INLINE_BYTES)
        except zlib.error as error:
            message = "The provider's response is not in the coding that its content-encoding header names."
            raise ProviderBadAnswer(message, detail=self._coding) from error
        self._encoded = self._decompressor.unconsumed_tail or self._decompressor.unused_data
        self._has_more = len(piece) == INLINE_BYTES and not self._decompressor.eof
        return piece
