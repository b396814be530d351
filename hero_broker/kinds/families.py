"""How families of models count tokens, for usage that no provider reported.

The factors were fitted over 2,535 recorded exchanges of 18 public repositories in November 2026. The rules for images
are OpenAI's and Anthropic's. docs/explanation/estimates.md has the sources, and where the factors of texts come from.
"""

from dataclasses import dataclass
from typing import Protocol

from hero_broker.kinds.texts import Image, Reading

TILE_PX = 512
TILED_PX = 2048  # an image is first scaled down to fit this square,
SHORT_SIDE_PX = 768  # then until its short side is at most this
UNSEEN_PX = 1024  # width and height of an image whose size is unknown
UNSEEN_IMAGE = Image(0, 0)

CLAUDE_LONG_SIDE_PX = 1568
CLAUDE_PX_PER_TOKEN = 750
CLAUDE_IMAGE_TOKENS_MAX = 1600


class ImageRule(Protocol):
    """How many tokens an image has."""

    def tokens(self, image: Image) -> int:
        """Return the tokens of an image; one of unknown size counts as 1024 by 1024 pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Tiles:
    """OpenAI's rule: tokens for the image, and tokens for each tile unless its detail is low."""

    base_tokens: int
    tile_tokens: int

    def tokens(self, image: Image) -> int:
        """Return the tokens of the image and its tiles, after it was scaled down."""
        if image.is_low_detail:
            return self.base_tokens
        width, height = _size(image)
        width, height = _scale_down(width, height, max(width, height), TILED_PX)
        width, height = _scale_down(width, height, min(width, height), SHORT_SIDE_PX)
        return self.base_tokens + self.tile_tokens * (-(-width // TILE_PX) * -(-height // TILE_PX))


class Area:
    """Anthropic's rule: a token for so many pixels."""

    def tokens(self, image: Image) -> int:
        """Return the tokens of the image's area, after it was scaled down, up to a maximum."""
        width, height = _size(image)
        width, height = _scale_down(width, height, max(width, height), CLAUDE_LONG_SIDE_PX)
        return min(-(-width * height // CLAUDE_PX_PER_TOKEN), CLAUDE_IMAGE_TOKENS_MAX)


def _size(image: Image) -> tuple[int, int]:
    return (image.width, image.height) if image.width and image.height else (UNSEEN_PX, UNSEEN_PX)


def _scale_down(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """Scale the size down until `side` is at most `limit`."""
    return (width, height) if side <= limit else (max(1, width * limit // side), max(1, height * limit // side))


GPT_4O_TILES = Tiles(85, 170)

# A few short tools have many tokens around them, and to those the factors were fitted. The tools of a coding agent are
# mostly descriptions: in more bytes than these, each has at most the tokens of a byte of JSON.
FITTED_BYTES = 4096
FURTHER_BYTE_MILLI = 300


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models counts; what ends in `_milli` is in thousandths of a token."""

    prefixes: tuple[str, ...]  # of the models' names, in lower case
    base_milli: int  # for a chat
    message_milli: int
    text_milli: int  # for each token of a text by the tokenizer
    definition_byte_milli: int | None  # for each byte of the definitions; None if the tokenizer counts them
    tools_milli: int = 0  # once, if there are tools
    image_rule: ImageRule = GPT_4O_TILES

    def counted_texts(self, reading: Reading) -> tuple[str, ...]:
        """Return the texts of which the tokenizer counts the tokens."""
        return (*reading.texts, *reading.definitions) if self.definition_byte_milli is None else reading.texts

    def uncounted_milli(self, reading: Reading) -> int:
        """Return what the input has beside `counted_texts`, in thousandths of a token."""
        tokens = reading.fixed_tokens + reading.audio_tokens + sum(map(self.image_rule.tokens, reading.images))
        milli = 1000 * tokens + self.message_milli * reading.messages
        if reading.messages:
            milli += self.base_milli
        if reading.has_tools:
            milli += self.tools_milli
        if self.definition_byte_milli is not None:
            size = sum(len(text.encode()) for text in reading.definitions)
            fitted = min(size, FITTED_BYTES)
            milli += self.definition_byte_milli * fitted
            milli += min(self.definition_byte_milli, FURTHER_BYTE_MILLI) * (size - fitted)
        return milli

    def tokens(self, counted: int, uncounted_milli: int = 0) -> int:
        """Return the tokens of texts of which the tokenizer counts `counted`, and of the rest, rounded up."""
        return -(-(counted * self.text_milli + uncounted_milli) // 1000)


# Three tokens prime the reply; three frame a message, and one is its role.
UNKNOWN = Family((), 3_000, 4_000, 1_000, None)

GPT_4O = Family(("gpt-4o", "chatgpt-4o"), 5_000, 3_700, 1_000, 115, 9_000)
GPT_4O_MINI = Family(("gpt-4o-mini",), 3_000, 5_600, 1_000, 161, image_rule=Tiles(2_833, 5_667))
GPT_5 = Family(("gpt-5",), 2_000, 6_000, 1_000, 138, 87_000, Tiles(70, 140))
GPT_4 = Family(("gpt-4",), 5_000, 3_300, 1_000, 156)
GPT_3_5 = Family(("gpt-3.5", "gpt-35"), 3_000, 3_400, 1_000, 121)
GPT_OSS = Family(("gpt-oss",), 56_000, 16_800, 1_000, 213)
CLAUDE = Family(("claude",), 6_000, 4_000, 1_100, 867, 318_000, Area())
MISTRAL = Family(
    (
        *("mistral", "ministral", "magistral", "codestral", "devstral", "mixtral", "pixtral"),
        *("open-mistral", "open-mixtral"),
    ),
    8_000,
    2_700,
    1_040,
    96,
    43_000,
)
QWEN = Family(("qwen", "qwq"), 0, 11_900, 1_030, 415, 28_000)
GROK = Family(("grok",), 0, 4_200, 1_030, 300, 120_000)

FAMILIES = (GPT_4O, GPT_4O_MINI, GPT_5, GPT_4, GPT_3_5, GPT_OSS, CLAUDE, MISTRAL, QWEN, GROK)

_BY_PREFIX = sorted(
    ((prefix, family) for family in FAMILIES for prefix in family.prefixes), key=lambda pair: len(pair[0]), reverse=True
)


def family_of(model: str) -> Family:
    """Return the family of a model: the longest prefix of its name counts, without what `provider/` and `ft:` add."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    return next((family for prefix, family in _BY_PREFIX if name.startswith(prefix)), UNKNOWN)
