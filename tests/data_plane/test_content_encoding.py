"""Bodies in gzip and zstd: what they decode to, what is refused, and that a bomb costs neither memory nor time."""

import asyncio
import random
import tracemalloc
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.errors import InvalidRequest, UnsupportedMedia
from hero_broker.data_plane.content_encoding import (
    MAX_WINDOW_BITS,
    STEP_BYTES,
    RequestDecoder,
    check_encoding,
    encoded_bound,
)
from tests.data_plane.compressing import gzipped, zstd

COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzipped, b"x-gzip": gzipped, b"zstd": zstd}
TEXT = b'{"model": "m", "messages": []}'
MIB = 1024 * 1024
RLE_BLOCKS = 16 * 1024  # each is four bytes long and makes 128 KiB


def decode(encoding: bytes, pieces: Sequence[bytes], max_bytes: int = 64 * MIB) -> bytes | None:
    """Return the decoded body; None if it is too large."""

    async def run() -> bytes | None:
        decoder = RequestDecoder(encoding, max_bytes)
        for piece in pieces:
            await decoder.feed(piece)
            if decoder.is_too_large:
                return None
        return decoder.finish()

    return asyncio.run(run())


def noise(size: int) -> bytes:
    """Return bytes that cannot be compressed."""
    return random.Random(1).randbytes(size)  # noqa: S311  # the same each time


def rle_bomb() -> bytes:
    """Return a zstd frame of `RLE_BLOCKS` blocks, of which each repeats a byte as often as a block may."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b" "
    last = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b" "
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * RLE_BLOCKS + last


@pytest.mark.parametrize("encoding", COMPRESS)
@given(data=st.binary(max_size=2000), cut=st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_body_is_what_was_compressed_however_it_comes(encoding: bytes, data: bytes, cut: int) -> None:
    encoded = COMPRESS[encoding](data)

    assert decode(encoding, [encoded[at : at + cut] for at in range(0, len(encoded), cut)]) == data


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("size", [0, 1, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 5 * STEP_BYTES])
@pytest.mark.parametrize("is_random", [True, False])
def test_body_around_the_size_of_a_step_is_decoded(encoding: bytes, size: int, is_random: bool) -> None:
    data = noise(size) if is_random else b" " * size

    assert decode(encoding, [COMPRESS[encoding](data)]) == data
    assert decode(encoding, [COMPRESS[encoding](data)], size) == data
    if size:
        assert decode(encoding, [COMPRESS[encoding](data)], size - 1) is None


@pytest.mark.parametrize("level", [1, 3, 19])
def test_zstd_of_any_level_is_decoded(level: int) -> None:
    data = noise(100_000) * 30

    assert decode(b"zstd", [zstd(data, level)]) == data


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("length", range(60))
def test_truncated_body_is_refused(encoding: bytes, length: int) -> None:
    encoded = COMPRESS[encoding](TEXT)
    for pieces in ([encoded[: min(length, len(encoded) - 1)]], []):
        with pytest.raises(InvalidRequest, match=r"truncated: its (gzip|zstd) data has no end"):
            decode(encoding, pieces)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("more", [b"x", b"\0", TEXT, gzipped(TEXT), zstd(TEXT)])
@pytest.mark.parametrize("is_whole", [True, False])
def test_data_after_the_end_is_refused(encoding: bytes, more: bytes, is_whole: bool) -> None:
    encoded = COMPRESS[encoding](TEXT)
    with pytest.raises(InvalidRequest, match="more data after the end"):
        decode(encoding, [encoded + more] if is_whole else [encoded, more])


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", TEXT),
        (b"zstd", TEXT),
        (b"gzip", zstd(TEXT)),
        (b"zstd", gzipped(TEXT)),
        (b"gzip", zlib.compress(TEXT)),
        (b"gzip", gzipped(TEXT)[:-8] + bytes(8)),  # another checksum
        (b"gzip", gzipped(TEXT)[:12] + b"\xff\xff\xff" + gzipped(TEXT)[15:]),
        (b"zstd", zstd(TEXT)[:4] + b"\xff" * 20),
    ],
)
def test_body_that_is_not_in_its_encoding_is_refused(encoding: bytes, body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"not in {encoding.decode()}, as content-encoding says"):
        decode(encoding, [body])


def test_zstd_that_needs_more_memory_than_rfc_9659_allows_is_refused() -> None:
    data = noise(1000) * 20_000  # longer than the window

    assert decode(b"zstd", [zstd(data, 3, MAX_WINDOW_BITS)]) == data
    with pytest.raises(InvalidRequest, match="too much memory"):
        decode(b"zstd", [zstd(data, 3, MAX_WINDOW_BITS + 1)])


@pytest.mark.parametrize(
    ("encoding", "make_bomb"),
    [
        (b"gzip", lambda: gzipped(bytes(200 * MIB))),
        (b"zstd", rle_bomb),
        (b"zstd", lambda: zstd(bytes(200 * MIB))),
    ],
    ids=["gzip", "zstd, repeated bytes", "zstd"],
)
def test_bomb_stops_at_the_bound_and_takes_no_more_memory(encoding: bytes, make_bomb: Callable[[], bytes]) -> None:
    bomb = make_bomb()
    tracemalloc.start()
    try:
        assert decode(encoding, [bomb], MIB) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * MIB


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_other_tasks_run_between_the_steps(encoding: bytes) -> None:
    data = bytes(20 * MIB)
    encoded = COMPRESS[encoding](data)

    async def turns() -> int:
        decoder, number = RequestDecoder(encoding, len(data)), 0
        decoding = asyncio.ensure_future(decoder.feed(encoded))
        while not decoding.done():
            await asyncio.sleep(0)
            number += 1
        assert decoder.finish() == data
        return number

    assert asyncio.run(turns()) >= len(data) // STEP_BYTES


@pytest.mark.parametrize("encoding", COMPRESS)
def test_body_that_cannot_be_compressed_is_within_the_bound(encoding: bytes) -> None:
    for size in (0, 1, 1000, MIB):
        assert len(COMPRESS[encoding](noise(size))) <= encoded_bound(size)


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ([], None),
        ([b"identity"], None),
        ([b" Identity "], None),
        ([b"gzip"], b"gzip"),
        ([b"GZIP"], b"gzip"),
        ([b"x-gzip"], b"x-gzip"),
        ([b"zstd"], b"zstd"),
    ],
)
def test_encoding_is_read_from_its_header(values: list[bytes], encoding: bytes | None) -> None:
    headers = [(b"content-type", b"application/json"), *((b"content-encoding", value) for value in values)]

    assert check_encoding(headers, may_compress=True) == encoding


@pytest.mark.parametrize(
    "values",
    [
        [b"br"],
        [b"deflate"],
        [b""],
        [b"gzip, zstd"],
        [b"gzip, identity"],
        [b"identity, identity"],
        [b"gzip", b"gzip"],
        [b"gzip", b"identity"],
        [b"identity", b"identity"],
    ],
)
def test_other_encoding_is_refused_with_those_that_are_accepted(values: list[bytes]) -> None:
    headers = [(b"content-encoding", value) for value in values]
    with pytest.raises(UnsupportedMedia, match="one of gzip, zstd and identity") as refused:
        check_encoding(headers, may_compress=True)

    assert refused.value.headers == ((b"accept-encoding", b"gzip, zstd"),)


@pytest.mark.parametrize("value", [b"gzip", b"zstd", b"br"])
def test_form_must_not_be_compressed(value: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="A form must not be compressed") as refused:
        check_encoding([(b"content-encoding", value)], may_compress=False)

    assert refused.value.headers == ((b"accept-encoding", b"identity"),)
