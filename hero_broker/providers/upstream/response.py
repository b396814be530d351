"""A provider's response: status, headers, and the body as it arrives."""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp

from hero_broker.core.errors import ProviderAnswerTooLong, ProviderBadAnswer
from hero_broker.providers.upstream.connection import Connection
from hero_broker.providers.upstream.decoding import INLINE_BYTES, Content, DecodedBody, can_decode
from hero_broker.providers.upstream.failures import body_error
from hero_broker.providers.upstream.fast_connection import ParsedResponse

PLAIN = ("", "identity")  # values of content-encoding that mean no coding


class UpstreamResponse:
    """A provider's response: status, headers, and the body as it arrives, with gzip and deflate decoded."""

    key_number = 0  # which of the provider's keys was used, from 1; 0 without one

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: Content,
        connection: Connection | None,
        end: Callable[[bool], None],
    ) -> None:
        """Wrap a response, with its connection if it is incomplete; `end` gets whether the body was read to its end."""
        self.status = status
        self.headers = headers
        self._received = content
        self._content = content
        self.coding: str | None = None  # the body's content coding, if we cannot decode it
        self._connection = connection
        self._end = end
        if (header := headers.get("content-encoding")) is not None:
            coding = header.strip().lower()
            if can_decode(coding):
                self._content = DecodedBody(content, coding)
            elif coding not in PLAIN:
                self.coding = coding

    async def read(self) -> bytes:
        """Wait for the next piece of the decoded body and return it; empty at its end.

        Raises:
            ProviderBadAnswer: the body cannot be decoded.
            ProviderError: the provider disconnected, or was silent for too long.
        """
        self.check_coding()
        content = self._content
        try:
            while not content.at_eof():
                if piece := await content.readany():
                    return piece
        except (TimeoutError, aiohttp.ClientError) as error:
            raise body_error(error) from error
        return b""

    def check_coding(self) -> None:
        """Check that the body can be decoded.

        Raises:
            ProviderBadAnswer: the body has a content coding that we neither accept nor decode.
        """
        if self.coding is not None:
            detail = f"content-encoding {self.coding[:40]!r}"
            raise ProviderBadAnswer(
                "The provider's response has a content coding that was not accepted.", detail=detail
            )

    def take_whole(self, max_bytes: int) -> bytes | None:
        """Return the whole body if all of it has arrived and need not be decoded; None, and nothing is read, if not.

        Use it instead of `read_all`, which waits.
        """
        body = self._received
        if self._content is not body or not isinstance(body, ParsedResponse) or not body.is_complete:
            return None
        return body.read_nowait() if body.buffered == body.body_bytes <= max_bytes else None

    async def read_all(self, max_bytes: int, pieces: list[bytes] | None = None) -> bytes:
        """Return the whole body. `pieces` gets what arrives, which is all there is if the provider breaks off.

        Raises:
            ProviderError: the body is longer than `max_bytes`, or the provider disconnected or was silent for too
                long.
        """
        pieces = [] if pieces is None else pieces
        left = max_bytes
        while piece := await self.read():
            left -= len(piece)
            if left < 0:
                raise ProviderAnswerTooLong("The provider's response is too long.")
            pieces.append(piece)
        return b"".join(pieces)

    async def stream_to(self, take: Callable[[bytes], bool]) -> bool:
        """Pass each piece of the body to `take` until it returns False; return whether more may come.

        A piece is passed on in the event loop's iteration in which it arrives, a large one in the next. Waking a task
        for each event instead would take a fifth of a stream's total time.

        Raises:
            ProviderError: the provider disconnected, or was silent for too long.
        """
        reader = PushReader(self._content, take)
        reader.pump()
        connection = self._connection
        if connection is not None and not reader.may_continue.done():
            connection.on_body_change = reader.pump
        try:
            return await reader.may_continue
        except (TimeoutError, aiohttp.ClientError) as error:
            raise body_error(error) from error
        finally:
            if connection is not None and connection.on_body_change == reader.pump:  # else it serves another call
                connection.on_body_change = None

    def close(self) -> None:
        """Return the connection to the pool, or close it if the response was not read to its end."""
        self._end(self._received.at_eof())


class PushReader:
    """Passes the pieces of a body to `take`."""

    __slots__ = ("_content", "_is_busy", "_take", "may_continue")

    def __init__(self, content: Content, take: Callable[[bytes], bool]) -> None:
        self._content = content
        self._take = take
        self._is_busy = False
        # Done at the end; the result is whether more may come.
        self.may_continue: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def pump(self) -> None:
        """Pass on what has arrived."""
        if self._is_busy or self.may_continue.done():  # reading may resume the connection, which calls this again
            return
        self._is_busy = True
        try:
            passed = 0
            while piece := self._content.read_nowait():
                if not self._take(piece):
                    self.may_continue.set_result(True)
                    return
                passed += len(piece)
                if passed > INLINE_BYTES:  # a few kB may decode to many MB, which must not block the event loop
                    asyncio.get_running_loop().call_soon(self.pump)
                    return
            if self._content.at_eof():
                self.may_continue.set_result(False)
        except Exception as error:  # raised in the task that awaits the body
            self.may_continue.set_exception(error)
        finally:
            self._is_busy = False
