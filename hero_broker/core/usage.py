"""What a call consumed, in the units that are billed."""

from enum import StrEnum

import msgspec

BYTES_PER_TOKEN = 4  # of English text; for estimates without a tokenizer
AUDIO_BYTES_PER_S = 16_000  # 128 kbit/s; for audio whose duration cannot be read
RAW_AUDIO_BYTES_PER_S = 1_536_000  # 192 kHz, two channels, 32 bits: the highest plausible rate of raw samples
MAX_UNITS = 1_000_000_000  # the largest plausible count; a larger one is a provider's fault


class UsageSource(StrEnum):
    """Where the counts of a row come from."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    NONE = "none"


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Units consumed by one call; None means not reported, 0 means zero.

    `input_tokens` includes cached, cache-written, audio and image input, `output_tokens` includes reasoning, audio and
    image output, as OpenAI reports them; `cache_write_tokens` includes `cache_write_1h_tokens`.
    Bounds: 0 to `MAX_UNITS` each.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    characters: int | None = None
    audio_ms: int | None = None
    search_units: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    images: int | None = None
    web_searches: int | None = None
    file_searches: int | None = None
