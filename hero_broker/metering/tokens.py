"""Counts the tokens of texts with a real tokenizer, off the event loop; `kinds.texts` extracts the texts.

The vocabularies are part of an installed package, so nothing is downloaded at run time. docs/explanation/estimates.md
says why it is this package, with measurements.
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

PIECE_CHARACTERS = 16 * 1024  # counted at once; merging takes more than linear time in one long run of letters
CUT_CHARACTERS = 1024  # at the end of a piece, searched for a space to cut at
TIMEOUT_S = 2.0

O200K = "o200k_base"
CL100K = "cl100k_base"
_CL100K_MODELS = re.compile(r"(?:ft:)?(?:gpt-4(?![\w.])|gpt-3\.?5|text-embedding-|(?:davinci|babbage)-002)")


class Encoding(Protocol):
    """A loaded tokenizer."""

    def count(self, piece: str) -> int:
        """Return the number of tokens of a text, which has no lone surrogates."""
        ...

    def forget(self) -> None:
        """Free the cache of texts."""
        ...


class _Splintr:
    """An `Encoding` by the package `splintr`."""

    def __init__(self, tokenizer: "AnyTokenizer") -> None:
        self._tokenizer = tokenizer

    def count(self, piece: str) -> int:
        # Only the batch functions release the GIL. They parse control tokens, which all begin with "<|"; in a client's
        # text these are plain text.
        ids, _ = self._tokenizer.encode_batch_flat([piece.replace("<|", "< |")])
        return len(ids) // 4

    def forget(self) -> None:
        # Its cache keeps every word, of any length: with pieces of 16 KiB it can reach hundreds of megabytes.
        self._tokenizer.clear_cache()


def load_encoding(name: str) -> Encoding:
    """Load the vocabulary `name`; takes about 0.1 s, while no other Python thread runs."""
    return _Splintr(importlib.import_module("splintr").Tokenizer.from_pretrained(name))


def select_encoding(model: str) -> str:
    """Return the name of the encoding that counts a model's tokens.

    OpenAI's models have their own; for all others `o200k_base` is an approximation.
    Source: the table of models in tiktoken.
    """
    name = model.lower().rpartition("/")[2]
    return CL100K if _CL100K_MODELS.match(name) else O200K


def pieces(text: str) -> Iterator[str]:
    """Split a text into pieces of at most `PIECE_CHARACTERS`, cut before white space if possible."""
    start = 0
    while (end := start + PIECE_CHARACTERS) < len(text):
        space = max(text.rfind(" ", end - CUT_CHARACTERS, end), text.rfind("\n", end - CUT_CHARACTERS, end))
        end = end if space == -1 else space
        yield text[start:end]
        start = end
    yield text[start:]


class _Job:
    """One count. The worker advances `done` by single assignments, so that the waiter can read it at any time."""

    def __init__(self, texts: tuple[str, ...], on_end: Callable[[], object]) -> None:
        """Prepare to count; `on_end` is called from the worker's thread."""
        self.texts = texts
        self.on_end = on_end
        self.done = (0, 0, 0)  # tokens so far; texts counted whole; characters counted of the next one
        self.is_abandoned = False

    def result(self) -> int:
        """Return the tokens counted so far, plus a quarter of the UTF-8 size of the rest, rounded up."""
        tokens, whole, characters = self.done
        rest, last, last_size = 0, "", 0  # a repeated text is measured once
        for number, text in enumerate(self.texts[whole:]):
            if number == 0 and characters:
                rest += _size(text[characters:])
                continue
            if text is not last:
                last, last_size = text, _size(text)
            rest += last_size
        return tokens - -rest // BYTES_PER_TOKEN

    def steps(self, encoding: Encoding) -> Generator[None, None, None]:
        """Count one piece in each step."""
        tokens = 0
        last, last_tokens = "", 0  # a rerank's query is repeated for each document
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
    """Counts tokens in a single thread, one piece of each count in turn, so that short counts never wait long.

    A vocabulary is loaded when it is first needed.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, load: Callable[[str], Encoding] = load_encoding) -> None:
        self._timeout_s = timeout_s
        self._load = load
        self._encodings: dict[str, Encoding] = {}  # by name; only the worker uses it
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens")
        self._open: set[asyncio.Event] = set()  # one for each waiter
        self._is_closed = False
        self.counting = Duty("token_counts", "tokens that no provider reports are counted")

    async def count(self, model: str, texts: Sequence[str]) -> int:
        """Return the number of tokens of `texts` for a model, within about `timeout_s`.

        Text that is not counted by then, because it is long, other counts run or the tokenizer fails, counts as one
        token per four bytes of UTF-8. Raises nothing.
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
        """Stop the thread; counts in flight and later ones fall back to the size."""
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
        except BaseException as error:  # a panic in a tokenizer written in Rust is not an Exception
            self._note_failure(name, error)
            self._end(job)
            return
        self._step(job, name, job.steps(encoding))

    def _step(self, job: _Job, name: str, steps: Generator[None, None, None]) -> None:
        try:
            if job.is_abandoned or self._is_closed:
                steps.close()
            else:
                for _ in steps:
                    self._worker.submit(self._step, job, name, steps)  # after the other counts
                    return
                self.counting.succeeded()
        except BaseException as error:  # a panic, as in `_begin`: the call that waits for the count must get an end
            self._note_failure(name, error)
        self._end(job)

    def _end(self, job: _Job) -> None:
        if not job.is_abandoned:
            job.on_end()

    def _note_failure(self, name: str, error: BaseException) -> None:
        self.counting.failed(f"{type(error).__name__} in {name}; the rest is estimated by size")
