"""How far estimates of input are from the fit over recorded exchanges. `python -m tests.benchmarks.estimates`.

First table: for each family of models, made-up chats of known size (seeded), plain, with tools, and with images. The
true count is that of the fit's formula, written out here, with the documented rules for images. Printed are the median
and the 90th percentile of the relative errors, of the estimate and of the rule for unknown families, which once was the
rule for all; beside them the fit's own error over the recorded exchanges.

Second table: which is nearer to a family's own vocabulary, the fit's tokens per byte of text or the broker's tokenizer
times the family's factor; for the families whose vocabulary is published.

What this cannot show: the formula is itself a fit. An estimate that equals it is as far from the truth as the fit is.
And the made-up texts have fewer bytes in a token than the recorded ones seem to have had.
"""

import argparse
import base64
import json
import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import median

from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.families import UNKNOWN, Family, family_of
from hero_broker.metering.tokens import load_encoding, pieces, select_encoding
from tests.metering.test_tokens import SAMPLES

WORDS = (SAMPLES / "english.txt").read_text(encoding="utf-8").split()
LANGUAGES = ("english", "german", "code", "chinese")
TYPES = ({"type": "string"}, {"type": "integer"}, {"type": "array", "items": {"type": "string"}})


@dataclass(frozen=True, slots=True)
class Fit:
    """A family's line of the published table: tokens, and for each byte of text (a) and of definitions (b)."""

    model: str
    base: float
    message: float
    a: float
    b: float
    once: float
    median_error: float
    p90_error: float
    vocabulary: str = ""  # the family's own, by its name in splintr; empty if it is not published

    def true_tokens(self, chat: dict[str, object]) -> float:
        """Return the tokens of a chat by the formula, and those of its images by the documented rules."""
        messages = chat["messages"]
        assert isinstance(messages, list)
        parts = [part for message in messages for part in message["content"]]
        text = sum(len(part["text"].encode()) for part in parts if part["type"] == "text")
        definitions = sum(
            len(json.dumps(chat[name], ensure_ascii=False, separators=(",", ":")).encode())
            for name in ("tools", "response_format")
            if name in chat
        )
        images = sum(self.image_tokens(*png_size(part["image_url"]["url"])) for part in parts if "image_url" in part)
        once = self.once if "tools" in chat else 0
        return self.base + self.message * len(messages) + self.a * text + self.b * definitions + once + images

    def image_tokens(self, width: int, height: int) -> float:
        """Return the tokens of an image by the documented rule."""
        if self.model.startswith("claude"):
            scale = min(1, 1568 / max(width, height))
            return min(width * scale * height * scale / 750, 1600)
        scale = min(1, 2048 / max(width, height))
        scale *= min(1, 768 / (min(width, height) * scale))
        tiles = math.ceil(round(width * scale, 6) / 512) * math.ceil(round(height * scale, 6) / 512)
        base, tile = {"gpt-4o-mini": (2833, 5667), "gpt-5": (70, 140)}.get(self.model, (85, 170))
        return base + tile * tiles


FITS = (
    Fit("gpt-4o", 5, 3.7, 0.229, 0.115, 9, 0.10, 0.30, "o200k_base"),
    Fit("gpt-4o-mini", 3, 5.6, 0.205, 0.161, 0, 0.09, 0.20, "o200k_base"),
    Fit("gpt-5", 2, 6.0, 0.212, 0.138, 87, 0.04, 0.17, "o200k_base"),
    Fit("gpt-4", 5, 3.3, 0.218, 0.156, 0, 0.06, 0.22, "cl100k_base"),
    Fit("gpt-3.5-turbo", 3, 3.4, 0.234, 0.121, 0, 0.11, 0.43, "cl100k_base"),
    Fit("gpt-oss-120b", 56, 16.8, 0.162, 0.213, 0, 0.06, 0.18, "o200k_harmony"),
    Fit("claude-sonnet-4-5", 6, 4.0, 0.204, 0.867, 318, 0.12, 0.32),
    Fit("mistral-large", 8, 2.7, 0.197, 0.096, 43, 0.23, 0.59, "mistral_v3"),
    Fit("qwen3-32b", 0, 11.9, 0.217, 0.415, 28, 0.13, 0.27, "qwen3"),
    Fit("grok-4", 0, 4.2, 0.230, 0.300, 120, 0.03, 0.23),
)


def chats(
    seed: int, number: int, *, with_tools: bool = False, with_images: bool = False
) -> Iterator[dict[str, object]]:
    """Yield made-up chats: the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - chats that can be made again, no secrets
    for _ in range(number):
        messages = [
            {"role": "user", "content": [{"type": "text", "text": words(dice, 400)}]} for _ in range(dice.randint(1, 6))
        ]
        chat: dict[str, object] = {"messages": messages}
        if with_tools:
            chat["tools"] = [tool(dice, number) for number in range(dice.randint(1, 8))]
            if dice.random() < 0.3:
                schema = {"name": "reply", "strict": True, "schema": tool(dice, 0)["function"]}
                chat["response_format"] = {"type": "json_schema", "json_schema": schema}
        if with_images:
            messages[0]["content"] = [*messages[0]["content"], *(image(dice) for _ in range(dice.randint(1, 3)))]
        yield chat


def words(dice: random.Random, most: int) -> str:
    """Return up to `most` words of English that follow each other."""
    start = dice.randrange(len(WORDS))
    return " ".join((WORDS * 2)[start : start + dice.randint(1, most)])


def tool(dice: random.Random, number: int) -> dict[str, object]:
    """Return the definition of a function."""
    names = dice.sample(["city", "day", "berth", "tons", "flag", "length_m"], dice.randint(0, 6))
    properties = {name: {**dice.choice(TYPES), "description": words(dice, 8)} for name in names}
    parameters = {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    function = {"name": f"look_up_{number}", "description": words(dice, 30), "parameters": parameters}
    return {"type": "function", "function": function}


def image(dice: random.Random) -> dict[str, object]:
    """Return a part of a message with a PNG of a random size, of which only the head is real."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", dice.randint(1, 3000), dice.randint(1, 3000))
    url = "data:image/png;base64," + base64.b64encode(head + bytes(30_000)).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def png_size(url: str) -> tuple[int, int]:
    """Return the width and the height of such an image."""
    width, height = struct.unpack(">II", base64.b64decode(url.partition(",")[2])[16:24])
    return width, height


@cache
def tokenizer(vocabulary: str) -> Callable[[str], int]:
    """Return a function that counts tokens as the broker does."""
    encoding = load_encoding(vocabulary)
    return lambda text: sum(map(encoding.count, pieces(text)))


def estimate(family: Family, count: Callable[[str], int], chat: dict[str, object]) -> int:
    """Return the tokens of a chat as the broker estimates them."""
    reading = CHAT.request_reading(json.dumps(chat).encode())
    return family.tokens(sum(map(count, family.counted_texts(reading))), family.uncounted_milli(reading))


def errors(fit: Fit, family: Family, made: list[dict[str, object]]) -> tuple[float, float]:
    """Return the median and the 90th percentile of the relative errors of estimates."""
    count = tokenizer(select_encoding(fit.model))
    found = sorted(abs(estimate(family, count, chat) / fit.true_tokens(chat) - 1) for chat in made)
    return median(found), found[len(found) * 9 // 10]


def pair(middle: float, high: float) -> str:
    return f"{middle:4.0%} /{high:5.0%}"


def print_families(seed: int, number: int) -> None:
    """Print the errors of each family, by the family and by the rule for unknown ones."""
    plain = list(chats(seed, number))
    groups = {
        "plain": plain,
        "tools": list(chats(seed, number, with_tools=True)),
        "images": list(chats(seed, number, with_images=True)),
    }
    print(f"Errors against the fit, median / p90, of {number} made-up chats each: estimate (rule for unknown families)")
    print(f"{'':18}{'fit itself':13}{''.join(f'{name:28}' for name in groups)}")
    for fit in FITS:
        cells = [
            f"{pair(*errors(fit, family_of(fit.model), made))} ({pair(*errors(fit, UNKNOWN, made))})"
            for made in groups.values()
        ]
        print(f"{fit.model:18}{pair(fit.median_error, fit.p90_error):13}{''.join(f'{cell:28}' for cell in cells)}")


def print_vocabularies() -> None:
    """Print how far two ways to count text are from each family's own vocabulary."""
    texts = {name: (SAMPLES / f"{name}.txt").read_text(encoding="utf-8") for name in LANGUAGES}
    texts["json"] = json.dumps(next(chats(1, 1, with_tools=True))["tools"], separators=(",", ":"))
    print("\nText against the family's own vocabulary: tokens per byte of the fit / tokenizer times factor")
    print(f"{'':18}{''.join(f'{name:15}' for name in texts)}")
    for fit in FITS:
        if not fit.vocabulary:
            continue
        count, own = tokenizer(select_encoding(fit.model)), tokenizer(fit.vocabulary)
        cells = [
            f"{fit.a * len(text.encode()) / own(text) - 1:+5.0%} /"
            f"{family_of(fit.model).tokens(count(text)) / own(text) - 1:+5.0%}"
            for text in texts.values()
        ]
        print(f"{fit.model:18}{''.join(f'{cell:15}' for cell in cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chats", type=int, default=300, help="of each family and group")
    options = parser.parse_args()
    print_families(options.seed, options.chats)
    print_vocabularies()


if __name__ == "__main__":
    main()
