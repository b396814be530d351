"""Bodies in gzip and deflate: whole, in pieces, with more members, truncated, or not what their header names."""

import asyncio
import gzip
import zlib
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from hero_broker.core.errors import ProviderBadAnswer
from hero_broker.providers.upstream.response import UpstreamResponse

TEXT = b"".join(b"line %d\n" % number for number in range(2000))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def read(coding: str, pieces: Sequence[bytes], *, pushes: bool) -> bytes:
    """Return a body that arrives in these pieces, waited for or pushed."""

    async def run() -> bytes:
        protocol = BaseProtocol(asyncio.get_running_loop())
        protocol.connection_made(asyncio.Transport())
        content = aiohttp.StreamReader(protocol, 2**20)
        reply = UpstreamResponse(200, {"content-encoding": coding}, content, None, lambda _is_complete: None)
        if pushes:
            for piece in pieces:
                content.feed_data(piece)
            content.feed_eof()
            taken: list[bytes] = []

            def take(piece: bytes) -> bool:
                taken.append(piece)
                return True

            assert not await reply.stream_to(take)
            return b"".join(taken)
        reading = asyncio.ensure_future(reply.read_all(1 << 20))
        for piece in pieces:
            await asyncio.sleep(0)
            content.feed_data(piece)
        await asyncio.sleep(0)
        content.feed_eof()
        return await reading

    return asyncio.run(run())


@pytest.mark.parametrize("pushes", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 100, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "body", "text"),
    [
        pytest.param("gzip", gzip.compress(TEXT), TEXT, id="gzip"),
        pytest.param(" X-GZIP ", gzip.compress(TEXT), TEXT, id="x-gzip"),
        pytest.param("deflate", zlib.compress(TEXT), TEXT, id="deflate"),
        pytest.param("deflate", raw_deflate(TEXT), TEXT, id="deflate without its header"),
        pytest.param("gzip", gzip.compress(b"one") + gzip.compress(b"two"), b"onetwo", id="members"),
        pytest.param("gzip", gzip.compress(b"one") + bytes(10), b"one", id="padding"),
        pytest.param("gzip", gzip.compress(b"one") + b"\x1f", b"one", id="half a mark"),
        pytest.param("deflate", zlib.compress(b"one") + b"more", b"one", id="more after deflate"),
        pytest.param("gzip", b"", b"", id="empty"),
        pytest.param("identity", b"as it is", b"as it is", id="identity"),
    ],
)
def test_body_is_decoded_in_whatever_pieces_it_comes(
    coding: str, body: bytes, text: bytes, size: int, pushes: bool
) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    assert read(coding, pieces, pushes=pushes) == text


@pytest.mark.parametrize("pushes", [False, True])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", gzip.compress(TEXT)[:-9], id="truncated"),
        pytest.param("gzip", b"not gzip at all", id="plain text as gzip"),
        pytest.param("deflate", b"\xff\xff\xff", id="plain bytes as deflate"),
        pytest.param("gzip", gzip.compress(b"one") + b"\x1f\x8b\xff\xff", id="broken member"),
    ],
)
def test_body_that_cannot_be_decoded_is_a_bad_answer(coding: str, body: bytes, pushes: bool) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(coding, [body], pushes=pushes)
