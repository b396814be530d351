"""How soon a broker starts. `python -m tests.benchmarks.start`.

Started anew each time, beside a bare Starlette with aiohttp: the time to the first accepted connection. And the time of
`hero-broker --help`. What a broker weighs is measured by `tests.benchmarks.memory`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure, table
from tests.benchmarks.processes import started
from tests.benchmarks.scenarios import settings
from tests.e2e_support import started_broker


def help_s() -> float:
    """Return the seconds that `hero-broker --help` takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hero_broker", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def bare_s(provider_url: str) -> float:
    """Return the seconds until a bare Starlette with aiohttp listens."""
    began = time.perf_counter()
    with started("tests.benchmarks.candidates", "aiohttp", provider_url):
        return time.perf_counter() - began


def start_s(config: Path, state: Path) -> float:
    """Return the seconds until a broker listens."""
    began = time.perf_counter()
    with started_broker(state, "--config", str(config)):
        return time.perf_counter() - began


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    helps, bares, starts = [], [], []
    with tempfile.TemporaryDirectory(prefix="hb-") as text, started("tests.benchmarks.provider") as (_, port):
        folder = Path(text)
        url = f"http://127.0.0.1:{port}/v1"
        config = folder / "hero-broker.toml"
        config.write_text(settings(url))
        for number in range(asked.rounds):
            helps.append(help_s())
            bares.append(bare_s(url))
            starts.append(start_s(config, folder / f"state-{number}"))
    ratio = median(ours / bare for ours, bare in zip(starts, bares, strict=True))
    figures = [
        Figure("hero-broker --help", median(helps), "s", 0.3, 0.2),
        Figure("start to the first accepted connection", median(starts), "s", 0.8, 0.6),
        Figure("the same, of a bare Starlette with aiohttp", ratio, "x"),
    ]
    print(table(figures))


if __name__ == "__main__":
    main()
