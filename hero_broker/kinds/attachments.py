"""Estimates the tokens of a message's images, audio and files. Sources: docs/explanation/estimates.md."""

import binascii
from collections.abc import Mapping

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.kinds.texts import mapping

LOW_DETAIL_TOKENS = 85
TILE_TOKENS = 170
TILE_PX = 512
FITTED_PX = 2048  # an image is first scaled down to fit this square,
SHORT_SIDE_PX = 768  # then until its short side is at most this
UNSEEN_IMAGE_TOKENS = 765  # those of 1024 by 1024 pixels

AUDIO_TOKENS_PER_S = 10

FILE_BYTES_PER_TOKEN = 4
FILE_TOKENS_MAX = 100_000
UNSEEN_FILE_TOKENS = 1_000

_IMAGE_HEAD = 256 * 1024  # characters of base64 that are searched for a JPEG's size, which follows its metadata
_AUDIO_HEAD = 8 * 1024
_MAX_SEGMENTS = 64  # of a JPEG or a WAV; the searched one is near the beginning


def image_tokens(part: Mapping[str, object]) -> int:
    image = part.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    if not isinstance(image, dict):
        return 0
    if image.get("detail") == "low":
        return LOW_DETAIL_TOKENS
    width, height = _image_size(_head(_payload(image.get("url")), _IMAGE_HEAD))
    return _tiles(width, height) if width and height else UNSEEN_IMAGE_TOKENS


def _tiles(width: int, height: int) -> int:
    width, height = _scale_down(width, height, max(width, height), FITTED_PX)
    width, height = _scale_down(width, height, min(width, height), SHORT_SIDE_PX)
    return LOW_DETAIL_TOKENS + TILE_TOKENS * (-(-width // TILE_PX) * -(-height // TILE_PX))


def _scale_down(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """Scale the size down until `side` is at most `limit`."""
    return (width, height) if side <= limit else (max(1, width * limit // side), max(1, height * limit // side))


def _image_size(head: bytes) -> tuple[int, int]:
    """Return width and height of a PNG or JPEG image, by its first bytes; zeros if they are not in them."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    at = 2 if head.startswith(b"\xff\xd8") else len(head)
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(head) or head[at] != 0xFF:
            break
        kind = head[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a frame's header; the three exceptions are tables
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 1 if kind == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4])
    return 0, 0


def audio_tokens(part: Mapping[str, object]) -> int:
    data = _payload(mapping(part.get("input_audio")).get("data"))
    bytes_per_s, start = _wav(_head(data, _AUDIO_HEAD))
    return -(-max(0, _size(data) - start) * AUDIO_TOKENS_PER_S // bytes_per_s)


def _wav(head: bytes) -> tuple[int, int]:
    """Return the bytes per second and the offset of the samples; for other formats than WAV, a fixed rule.

    The lowest of several rates counts, up to a maximum, because clients may state any rate.
    """
    at, rates = 12, [RAW_AUDIO_BYTES_PER_S]
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        for _ in range(_MAX_SEGMENTS):
            if at + 8 > len(head) or head[at : at + 4] == b"data":
                break
            if head[at : at + 4] == b"fmt ":
                rates.append(int.from_bytes(head[at + 16 : at + 20], "little"))
            size = int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8 + size + size % 2
    is_known = len(rates) > 1 and min(rates) > 0 and at + 8 <= len(head)
    return (min(rates), at + 8) if is_known else (AUDIO_BYTES_PER_S, 0)


def file_tokens(part: Mapping[str, object]) -> int:
    file = part.get("file")
    if not isinstance(file, dict):
        return 0
    size = _size(_payload(file.get("file_data")))
    return min(-(-size // FILE_BYTES_PER_TOKEN), FILE_TOKENS_MAX) if size else UNSEEN_FILE_TOKENS


def _payload(value: object) -> str:
    """Return the base64 of a data URL, or bare base64; empty if the value is another URL."""
    if not isinstance(value, str) or value.startswith(("http:", "https:")):
        return ""
    return value.partition(",")[2] if value.startswith("data:") else value


def _size(data: str) -> int:
    """Return the decoded size of base64, in bytes."""
    return len(data.rstrip("=")) * 3 // 4


def _head(data: str, characters: int) -> bytes:
    """Decode the first characters of base64; empty if they are malformed."""
    try:
        return binascii.a2b_base64(data[: characters // 4 * 4].rstrip("=") + "==")
    except ValueError:
        return b""
