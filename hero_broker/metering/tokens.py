"""Texts → a count of tokens, by a real tokenizer and off the event loop; `metering.texts` finds the texts.

The vocabularies come inside an installed package, so that nothing is fetched at run time. Why it is this package is in
docs/explanation/estimates.md, with the figures.
"""

import asyncio
import contextlib
import importlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from hero_broker.core.duties import Duty
from hero_broker.core.usage import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from splintr import AnyTokenizer

PIECE_CHARACTERS = 16 * 1024  # counted at a time; merging takes more than linear time in one long run of letters
CUT_CHARACTERS = 1024  # at the end of a piece, in which a space is looked for
TIMEOUT_S = 2.0

O200K = "o200k_base"
CL100K = "cl100k_base"
_CL100K_MODELS = re.compile(r"(?:ft:)?(?:gpt-4(?![\w.])|gpt-3\.?5|text-embedding-|(?:davinci|babbage)-002)")


class Encoding(Protocol):
    """A tokenizer that is loaded."""

    def count(self, piece: str) -> int:
        """Return the tokens of a text without lone surrogates."""
        ...

    def forget(self) -> None:
        """Free what was remembered of the texts."""
        ...


class _Splintr:
    """An encoding of the package `splintr`."""

    def __init__(self, tokenizer: "AnyTokenizer") -> None:
        self._tokenizer = tokenizer

    def count(self, piece: str) -> int:
        # Of its calls the batched ones alone let other threads run meanwhile. They read control tokens out of a text,
        # which all begin with "<|" and which a client may only spell.
        ids, _ = self._tokenizer.encode_batch_flat([piece.replace("<|", "< |")])
        return len(ids) // 4

    def forget(self) -> None:
        # Its cache keeps each word that it saw, however long: with pieces of 16 KiB that can be hundreds of megabytes.
        self._tokenizer.clear_cache()


def load_encoding(name: str) -> Encoding:
    """Load the vocabulary `name`; takes about 0.1 s, in which no other Python thread runs."""
    return _Splintr(importlib.import_module("splintr").Tokenizer.from_pretrained(name))


def select_encoding(model: str) -> str:
    """Return the encoding by which a model's tokens are counted.

    It is the model's own for OpenAI's, and `o200k_base` as an approximation for all others.
    Source: the table of models in tiktoken.
    """
    name = model.lower().rpartition("/")[2]
    return CL100K if _CL100K_MODELS.match(name) else O200K


def pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of at most `PIECE_CHARACTERS`, cut before white space where there is some."""
    start = 0
    while (end := start + PIECE_CHARACTERS) < len(text):
        space = max(text.rfind(" ", end - CUT_CHARACTERS, end), text.rfind("\n", end - CUT_CHARACTERS, end))
        end = end if space == -1 else space
        yield text[start:end]
        start = end
    yield text[start:]


class _Job:
    """One count. The worker moves `done` on by single assignments, so that the waiter may read it at any moment."""

    def __init__(self, texts: tuple[str, ...], ended: Callable[[], object]) -> None:
        """Prepare to count; `ended` is called from the worker's thread."""
        self.texts = texts
        self.ended = ended
        self.done = (0, 0, 0)  # tokens so far; texts counted whole; characters counted of the next one
        self.is_abandoned = False

    def result(self) -> int:
        """Return the tokens counted, and for the rest its UTF-8 size divided by four, rounded up."""
        tokens, whole, characters = self.done
        rest, last, last_size = 0, "", 0  # a text that comes again and again is measured once
        for number, text in enumerate(self.texts[whole:]):
            if number == 0 and characters:
                rest += _size(text[characters:])
                continue
            if text is not last:
                last, last_size = text, _size(text)
            rest += last_size
        return tokens - -rest // BYTES_PER_TOKEN

    def steps(self, encoding: Encoding) -> Generator[None, None, None]:
        """Count, a piece at a time."""
        tokens = 0
        last, last_tokens = "", 0  # a rerank's query stands there once for each document
        try:
            for whole, text in enumerate(self.texts):
                if text is last:
                    tokens += last_tokens
                else:
                    before, characters = tokens, 0
                    for piece in pieces(text):
                        tokens += encoding.count(piece.encode("utf-8", "replace").decode())
                        characters += len(piece)
                        self.done = (tokens, whole, characters)
                        yield
                    last, last_tokens = text, tokens - before
                self.done = (tokens, whole + 1, 0)
        finally:
            encoding.forget()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class TokenCounter:
    """Counts tokens in one thread of its own, a piece of each count in turn, so that a short one never waits long.

    A vocabulary is loaded at the first count that needs it.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, load: Callable[[str], Encoding] = load_encoding) -> None:
        self._timeout_s = timeout_s
        self._load = load
        self._encodings: dict[str, Encoding] = {}  # by name; used by the worker alone
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens")
        self._open: set[asyncio.Event] = set()  # of those who wait
        self._is_closed = False
        self.counting = Duty("token_counts", "tokens that no provider reports are counted")

    async def count(self, model: str, texts: Sequence[str]) -> int:
        """Return the tokens of `texts` for a model, within about `timeout_s`.

        What is not counted by then, because of long texts, many counts or a tokenizer that fails, is a token per four
        bytes of UTF-8. Nothing is raised.
        """
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        job = _Job(tuple(texts), lambda: loop.call_soon_threadsafe(ended.set))
        if not any(job.texts):
            return 0
        if self._is_closed:
            return job.result()
        self._open.add(ended)
        self._worker.submit(self._begin, job, select_encoding(model))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await ended.wait()
        finally:
            job.is_abandoned = True
            self._open.discard(ended)
        return job.result()

    def close(self) -> None:
        """End the thread; counts in flight and later ones are by size."""
        self._is_closed = True
        self._worker.shutdown(cancel_futures=True)
        for ended in self._open:
            ended.set()

    def _begin(self, job: _Job, name: str) -> None:
        if job.is_abandoned:
            return
        try:
            if name not in self._encodings:
                self._encodings[name] = self._load(name)
            encoding = self._encodings[name]
        except BaseException as error:  # a panic of a tokenizer in Rust is no Exception
            self._note_failure(name, error)
            self._end(job)
            return
        self._go_on(job, name, job.steps(encoding))

    def _go_on(self, job: _Job, name: str, steps: Generator[None, None, None]) -> None:
        try:
            if job.is_abandoned or self._is_closed:
                steps.close()
            else:
                for _ in steps:
                    self._worker.submit(self._go_on, job, name, steps)  # behind the others'
                    return
                self.counting.succeeded()
        except BaseException as error:  # as above
            self._note_failure(name, error)
        self._end(job)

    def _end(self, job: _Job) -> None:
        if not job.is_abandoned:
            job.ended()

    def _note_failure(self, name: str, error: BaseException) -> None:
        self.counting.failed(f"{type(error).__name__} by {name}; the rest is by size")
