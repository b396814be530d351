"""What tokenizers that carry OpenAI's vocabularies cost. `python -m tests.benchmarks.tokens`.

For each package, in a process of its own: size on the disk, seconds and memory to load both vocabularies, and for 1 MiB
of English, Chinese, code and of one letter the time of a count in pieces as `metering.tokens` cuts them. Beside each
time stands the longest pause of a second thread meanwhile, which is what the event loop would wait. Last, how far the
counts of the test samples are from the true ones. Packages that are not installed are named as such.
"""

import argparse
import importlib
import importlib.metadata
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hero_broker.metering.tokens import CL100K, O200K, pieces
from tests.metering.test_tokens import SAMPLES, TRUE_COUNTS

MIB = 1 << 20
Count = Callable[[str], int]


def splintr(name: str) -> Count:
    tokenizer = module("splintr").Tokenizer.from_pretrained(name)
    return lambda text: len(tokenizer.encode_batch_flat([text])[0]) // 4


def toktok(name: str) -> Count:
    batch_count = module("toktok").batch_count
    return lambda text: int(batch_count([text], name, threads=1)[0])


def quicktok(name: str) -> Count:
    count: Count = module("quicktok").get_encoding(name).count
    return count


def bpe_openai(name: str) -> Count:
    count: Count = module("bpe_openai._bindings").tokenizer_for_encoding(name).count
    return count


def rs_bpe(name: str) -> Count:
    count: Count = getattr(module("rs_bpe.bpe").openai, name)().count
    return count


PACKAGES: dict[str, Callable[[str], Count]] = {
    "splintr-rs": splintr,
    "toktok-rs": toktok,
    "quicktok-v1": quicktok,
    "bpe-openai": bpe_openai,
    "rs-bpe": rs_bpe,
}


def module(name: str) -> Any:
    return importlib.import_module(name)


def rss_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Bystander:
    """A second thread that notes its longest pause."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Bystander":
        self._thread.start()
        time.sleep(0.02)
        self.longest_s = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._ends:
            time.sleep(0.0002)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - last)
            last = now


def timed(work: Callable[[], object]) -> str:
    with Bystander() as bystander:
        began = time.perf_counter()
        work()
        took = time.perf_counter() - began
    return f"{took * 1000:7.0f} / {bystander.longest_s * 1000:4.0f}"


def texts() -> dict[str, str]:
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("*.txt"))}
    grown = {name: (text * (MIB // len(text.encode()) + 1)) for name, text in found.items() if name != "german"}
    return {
        **{name: text.encode()[:MIB].decode("utf-8", "ignore") for name, text in grown.items()},
        "letter a": "a" * MIB,
    }


def first_count(package: str, name: str, loaded: list[Count]) -> None:
    """Load a vocabulary and count with it once, because some packages load no earlier."""
    loaded.append(PACKAGES[package](name))
    loaded[0]("first")


def measure(package: str) -> None:
    """Print the figures of one package, as measured in this process."""
    files = importlib.metadata.files(package) or []
    size = sum(file.size or 0 for file in files)
    print(f"{package} {importlib.metadata.version(package)}: {size / 1e6:.0f} MB installed")
    print(f"  {'':22}    ms / longest pause of another thread, ms")
    for name in (O200K, CL100K):
        before = rss_mib()
        loaded: list[Count] = []
        took = timed(lambda: first_count(package, name, loaded))  # noqa: B023 (called at once)
        count = loaded[0]
        print(f"  load {name:17} {took}   + {rss_mib() - before:.0f} MiB")
        for title, text in texts().items():
            print(f"  1 MiB of {title:13} {timed(lambda: sum(map(count, pieces(text))))}")  # noqa: B023 (called at once)
        off = [
            count((SAMPLES / f"{sample}.txt").read_text(encoding="utf-8")) / true - 1
            for encoding, sample, true in TRUE_COUNTS
            if encoding == name
        ]
        print(f"  off the true counts by at most {max(map(abs, off)):.1%}; memory now {rss_mib():.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="?", choices=PACKAGES)
    package = parser.parse_args().package
    if package is not None:
        measure(package)
        return
    for each in PACKAGES:
        try:
            importlib.metadata.version(each)
        except importlib.metadata.PackageNotFoundError:
            print(f"{each}: not installed", flush=True)
        else:
            subprocess.run([sys.executable, "-m", "tests.benchmarks.tokens", each], check=True)


if __name__ == "__main__":
    main()
