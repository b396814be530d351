"""Estimates of tokens: near the true counts, off the event loop, within bounds."""

import asyncio
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hero_broker.metering.tokens import (
    CL100K,
    O200K,
    PIECE_CHARACTERS,
    Encoding,
    TokenCounter,
    load_encoding,
    pieces,
    select_encoding,
)

SAMPLES = Path(__file__).parent / "samples"
MODELS = {O200K: "gpt-4o", CL100K: "gpt-4"}

# By js-tiktoken 1.0.21, which carries OpenAI's vocabularies; gpt-tokenizer 4.0.0 counts the same. In a folder where
# `npm install js-tiktoken` was run, with SAMPLES the path of tests/metering/samples:
#   node -e 'const k = require("js-tiktoken").getEncoding(process.argv[1]); for (const f of process.argv.slice(2))
#     console.log(f, k.encode(require("fs").readFileSync(f, "utf8"), [], []).length)' o200k_base $SAMPLES/*.txt
TRUE_COUNTS = [
    (O200K, "chinese", 685),
    (O200K, "code", 871),
    (O200K, "english", 570),
    (O200K, "german", 700),
    (CL100K, "chinese", 989),
    (CL100K, "code", 870),
    (CL100K, "english", 582),
    (CL100K, "german", 814),
]
MIB = {
    "letters a": "a" * (1 << 20),
    "spaces": " " * (1 << 20),
    "line feeds": "\n" * (1 << 20),
    "emoji": "\N{GRINNING FACE}" * (1 << 18),
    "random digits": hashlib.shake_256(b"digits").hexdigest(1 << 19),
    "control tokens": "<|endoftext|>" * (1 << 16),
    "combining marks": "a" + "\u0301" * (1 << 19),
}


def count(
    *texts: str, model: str = "gpt-4o", timeout_s: float = 60, load: Callable[[str], Encoding] | None = None
) -> int:
    counter = TokenCounter(timeout_s) if load is None else TokenCounter(timeout_s, load)
    try:
        return asyncio.run(counter.count(model, texts))
    finally:
        counter.close()


class ByCharacter:
    """Counts a token for each character, after what `before` does."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before
        self.counted: list[str] = []
        self.forgotten = 0

    def count(self, piece: str) -> int:
        self._before()
        self.counted.append(piece)
        return len(piece)

    def forget(self) -> None:
        self.forgotten += 1


@pytest.mark.parametrize(("encoding", "sample", "true"), TRUE_COUNTS)
def test_count_is_near_the_true_one(encoding: str, sample: str, true: int) -> None:
    text = (SAMPLES / f"{sample}.txt").read_text(encoding="utf-8")

    counted = count(text, model=MODELS[encoding])

    assert abs(counted - true) <= 0.03 * true


@pytest.mark.parametrize(("encoding", "sample", "true"), TRUE_COUNTS)
@pytest.mark.slow
def test_count_of_a_long_text_is_near_the_true_one(encoding: str, sample: str, true: int) -> None:
    text = (SAMPLES / f"{sample}.txt").read_text(encoding="utf-8")

    counted = count(text * 40, model=MODELS[encoding])

    assert abs(counted - 40 * true) <= 0.03 * 40 * true


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", CL100K),
        ("gpt-4-turbo-2024-04-09", CL100K),
        ("gpt-3.5-turbo", CL100K),
        ("gpt-35-turbo", CL100K),
        ("text-embedding-3-small", CL100K),
        ("openai/GPT-4", CL100K),
        ("ft:gpt-4:acme", CL100K),
        ("davinci-002", CL100K),
        ("gpt-4o", O200K),
        ("ft:gpt-4o-mini:acme", O200K),
        ("chatgpt-4o-latest", O200K),
        ("gpt-4.1-mini", O200K),
        ("gpt-4.5-preview", O200K),
        ("gpt-5", O200K),
        ("gpt-5.2-nano", O200K),
        ("o1", O200K),
        ("o3-mini", O200K),
        ("o4-mini", O200K),
        ("llama-3.3-70b-versatile", O200K),
        ("mistral-large", O200K),
        ("", O200K),
    ],
)
def test_encoding_is_the_models_own_or_the_newest(model: str, encoding: str) -> None:
    assert select_encoding(model) == encoding


@pytest.mark.parametrize("name", MIB)
@pytest.mark.slow
def test_a_mebibyte_of_anything_is_counted_in_time(name: str) -> None:
    encoding = load_encoding(O200K)
    began = time.process_time()

    counted = count(MIB[name], load=lambda _: encoding)

    assert 0 < counted <= len(MIB[name].encode())
    assert time.process_time() - began < 5


def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    """A run of one letter that is 16 times longer would take 256 times longer."""
    encoding = load_encoding(O200K)

    def cpu_s(text: str) -> float:
        began = time.process_time()
        count(text, load=lambda _: encoding)
        return time.process_time() - began

    short, long = (min(cpu_s("a" * size) for _ in range(3)) for size in (1 << 18, 1 << 22))

    assert long < 100 * max(short, 0.001)


@pytest.mark.parametrize("text", ["\ud800", "before\udfffafter", "\ud83d\ude00", "\ud800" * 50_000])
def test_lone_surrogates_are_counted(text: str) -> None:
    assert count(text) > 0


def test_control_tokens_that_a_client_spells_are_text() -> None:
    assert count("<|endoftext|>") >= 7


def test_no_text_needs_no_tokenizer() -> None:
    def load(name: str) -> Encoding:
        raise AssertionError(name)

    assert count(load=load) == 0
    assert count("", "", load=load) == 0


def test_pieces_are_the_text_cut_before_spaces() -> None:
    text = "some words \n" * 5000

    cut = list(pieces(text))

    assert "".join(cut) == text
    assert len(cut) == 4
    assert max(map(len, cut)) <= PIECE_CHARACTERS
    assert all(piece[0] in " \n" for piece in cut[1:])


def test_text_without_spaces_is_cut_all_the_same() -> None:
    assert [len(piece) for piece in pieces("字" * (PIECE_CHARACTERS + 1))] == [PIECE_CHARACTERS, 1]


def test_a_text_that_is_repeated_is_counted_once() -> None:
    encoding = ByCharacter()
    query = "a query"

    counted = count(query, query, query, "a document", load=lambda _: encoding)

    assert counted == 3 * 7 + 10
    assert encoding.counted == ["a query", "a document"]


def test_nothing_of_the_texts_is_kept() -> None:
    encoding = ByCharacter()

    count("secret", load=lambda _: encoding)

    assert encoding.forgotten == 1


@pytest.mark.parametrize("error", [ImportError, ValueError, type("Panic", (BaseException,), {})])
def test_a_tokenizer_that_does_not_load_leaves_the_size(error: type[BaseException]) -> None:
    def load(_: str) -> Encoding:
        raise error

    assert count("nine byte", "漢", load=load) == 3


def test_a_tokenizer_that_fails_leaves_the_size_of_the_rest() -> None:
    left = iter([None])

    counted = count("x" * PIECE_CHARACTERS + "y" * 401, "z" * 4, load=lambda _: ByCharacter(lambda: next(left)))

    assert counted == PIECE_CHARACTERS + 102


def test_event_loop_runs_while_the_vocabulary_is_loaded() -> None:
    order: list[str] = []
    loading, may_load = threading.Event(), threading.Event()

    def load(_: str) -> Encoding:
        order.append("load begins")
        loading.set()
        assert may_load.wait(10)
        order.append("load ends")
        return ByCharacter()

    async def run() -> int:
        counter = TokenCounter(10, load)
        counting = asyncio.create_task(counter.count("any", ["four"]))
        await asyncio.to_thread(loading.wait, 10)
        order.append("loop runs")
        may_load.set()
        counted = await counting
        counter.close()
        return counted

    assert asyncio.run(run()) == 4
    assert order == ["load begins", "loop runs", "load ends"]


def test_what_is_not_counted_in_time_is_by_size() -> None:
    may_go_on = threading.Event()
    first = iter([True])

    def before() -> None:
        if not next(first, False):
            may_go_on.wait(10)

    async def run() -> tuple[int, int]:
        counter = TokenCounter(0.2, lambda _: ByCharacter(before))
        counted = await counter.count("any", ["x" * (PIECE_CHARACTERS + 400)])
        behind = await counter.count("any", ["waits in the queue!"])
        may_go_on.set()
        counter.close()
        return counted, behind

    assert asyncio.run(run()) == (PIECE_CHARACTERS + 100, 5)


def test_a_count_that_is_cancelled_stops_its_work() -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def before() -> None:
        begun.set()
        may_go_on.wait(10)

    encoding = ByCharacter(before)

    async def run() -> None:
        counter = TokenCounter(10, lambda _: encoding)
        counting = asyncio.create_task(counter.count("any", ["x" * 10 * PIECE_CHARACTERS]))
        await asyncio.to_thread(begun.wait, 10)
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting
        may_go_on.set()
        counter.close()

    asyncio.run(run())

    assert len(encoding.counted) == 1


def test_short_count_waits_for_a_piece_of_a_long_one_and_not_for_all() -> None:
    long, short = "x" * 200 * PIECE_CHARACTERS, "short"
    begun, may_go_on = threading.Event(), threading.Event()

    def before() -> None:
        begun.set()
        assert may_go_on.wait(10)

    encoding = ByCharacter(before)

    async def run() -> list[int]:
        counter = TokenCounter(60, lambda _: encoding)
        first = asyncio.create_task(counter.count("any", [long]))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.create_task(counter.count("any", [short]))
        await asyncio.sleep(0)
        may_go_on.set()
        counted = await asyncio.gather(first, second)
        counter.close()
        return list(counted)

    assert asyncio.run(run()) == [len(long), len(short)]
    assert encoding.counted.index(short) <= 2


def test_text_that_comes_again_and_again_is_measured_once_when_time_is_up() -> None:
    text = "\N{GRINNING FACE}" * 1_000_000
    may_load = threading.Event()

    def load(_: str) -> Encoding:
        may_load.wait(10)
        return ByCharacter()

    async def run() -> tuple[int, float]:
        counter = TokenCounter(0.05, load)
        began = time.thread_time()
        counted = await counter.count("any", [text] * 50_000)
        took = time.thread_time() - began
        may_load.set()
        counter.close()
        return counted, took

    counted, took = asyncio.run(run())
    assert counted == 50_000 * 1_000_000
    assert took < 2


def test_counter_that_is_closed_lets_nobody_wait() -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def before() -> None:
        begun.set()
        may_go_on.wait(10)

    async def run() -> list[int]:
        counter = TokenCounter(60, lambda _: ByCharacter(before))
        counting = [asyncio.create_task(counter.count("any", ["x" * 400])) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 10)
        threading.Timer(0.05, may_go_on.set).start()
        counter.close()
        async with asyncio.timeout(5):
            return list(await asyncio.gather(*counting))

    assert asyncio.run(run())[1:] == [100, 100]


def test_a_closed_counter_goes_by_size() -> None:
    counter = TokenCounter()
    counter.close()

    assert asyncio.run(counter.count("gpt-4o", ["12345"])) == 2


def test_counts_at_once_do_not_mix() -> None:
    async def run() -> list[int]:
        counter = TokenCounter(10, lambda _: ByCharacter())
        counted = await asyncio.gather(*(counter.count("any", ["x" * size]) for size in range(50)))
        counter.close()
        return counted

    assert asyncio.run(run()) == list(range(50))


def test_importing_the_module_does_not_load_the_tokenizer() -> None:
    check = "import sys, hero_broker.metering.tokens; sys.exit('splintr' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0
