"""Reads the size of a message's images, and estimates the tokens of its audio and files.

The sources are in docs/explanation/estimates.md.
"""

import binascii
import re
from collections.abc import Mapping
from itertools import islice

from hero_broker.core.usage import AUDIO_BYTES_PER_S, BYTES_PER_TOKEN, RAW_AUDIO_BYTES_PER_S
from hero_broker.kinds.families import UNSEEN_IMAGE, family_of
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.texts import Image, mapping

AUDIO_TOKENS_PER_S = 10

FILE_BYTES_PER_TOKEN = 4
FILE_TOKENS_MAX = 100_000
UNSEEN_FILE_TOKENS = 1_000

INLINE_IMAGES_MAX = 1_000  # in one body, for the first estimate; further ones count by their bytes
SEARCHED_STRINGS_MAX = 10_000  # that begin like an image in a data URL; they take 5 ms of the event loop
SEARCHED_BYTES = 16 * 1024  # to search a shorter body takes longer than its images are worth: 4,096 tokens at most
_INLINE_IMAGE = b'"data:image'  # an unescaped quote, so that it begins a string
# The order of the members is that of Anthropic's SDKs; in another order, an image counts by its bytes.
_IMAGE_SOURCE = re.compile(rb'"media_type"\s*:\s*"image/\w+"\s*,\s*"data"\s*:\s*"')
_URL_KEY = b'url":'

_IMAGE_HEAD = 256 * 1024  # characters of base64 that are searched for a JPEG's size, which follows its metadata
_AUDIO_HEAD = 8 * 1024
_MAX_SEGMENTS = 64  # of a JPEG or a WAV; the searched one is near the beginning


def image_of(part: Mapping[str, object]) -> Image | None:
    """Return the image of a part of a message; None if it has none."""
    image = part.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    if not isinstance(image, dict):
        return None
    width, height = _image_size(_head(_payload(image.get("url")), _IMAGE_HEAD))
    return Image(width, height, image.get("detail") == "low")


def input_bytes(body: JsonBody, size: int, *, in_sources: bool = False) -> int:
    """Return the size of a body's input for the first estimate: images in the body count by their tokens.

    `size` is that of the members that the model reads. Images are in data URLs, or in Anthropic's sources.
    """
    if len(body.as_sent) <= SEARCHED_BYTES:
        return size
    images, image_bytes = (_source_images if in_sources else _inline_images)(body.as_sent)
    if not images:
        return size
    image_tokens = family_of(body.model).image_rule.tokens(UNSEEN_IMAGE)
    return max(0, size - image_bytes) + images * image_tokens * BYTES_PER_TOKEN


def _inline_images(body: bytes) -> tuple[int, int]:
    """Return how many images a JSON body has in data URLs, and the bytes of these; both within the bounds above."""
    images = size = 0
    start = body.find(_INLINE_IMAGE)
    for _ in range(SEARCHED_STRINGS_MAX):
        if start == -1 or images == INLINE_IMAGES_MAX:
            break
        end = body.index(b'"', start + 1)
        if body[max(0, start - 2 * len(_URL_KEY)) : start].rstrip().endswith(_URL_KEY):  # else a text that begins so
            images += 1
            size += end - start
        start = body.find(_INLINE_IMAGE, end)
    return images, size


def _source_images(body: bytes) -> tuple[int, int]:
    """Return how many images a JSON body has in base64 sources of Anthropic's shape, and the bytes of these."""
    images = size = 0
    for source in islice(_IMAGE_SOURCE.finditer(body), INLINE_IMAGES_MAX):
        images += 1
        size += body.index(b'"', source.end()) - source.end()
    return images, size


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
