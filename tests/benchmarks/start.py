"""How soon a broker starts, and what it weighs. `python -m tests.benchmarks.start`.

Started anew each time, beside a bare Starlette with aiohttp: the time to the first accepted connection, and the memory
that is resident then, and after a load of calls; each of the load's answers must have its row. And the time of
`hero-broker --help`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import uvloop

from tests.benchmarks.loadgen import load
from tests.benchmarks.processes import cpu_s, rss_bytes, started
from tests.benchmarks.scenarios import scenarios, settings
from tests.e2e_support import started_broker

MIB = 1 << 20


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


def start_s(config: Path, state: Path, seconds: float) -> tuple[float, int, int]:
    """Return the seconds until a broker listens, and its resident bytes then and after calls for `seconds`."""
    began = time.perf_counter()
    with started_broker(state, "--config", str(config)) as running:
        took = time.perf_counter() - began
        pid, port = running.process.pid, int(running.url.rpartition(":")[2])
        first = rss_bytes(pid)
        scenario = scenarios([16])[0]
        seen = uvloop.run(
            load(port, scenario.body, at_once=16, seconds=seconds, events_each=0, cpu_s=lambda: cpu_s(pid))
        )
        totals = running.usage()["totals"]
        expected = {"requests": seen.answered, "total_cost_nano_usd": str(seen.answered * scenario.cost_nano_usd)}
        if {name: totals[name] for name in expected} != expected:
            sys.exit(f"rows {totals}, not {expected}")
        print(f"  rows {totals['requests']:,} of {seen.answered:,}")
        return took, first, rss_bytes(pid)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of calls, 16 at once, before memory is looked at again"
    )
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
            starts.append(start_s(config, folder / f"state-{number}", asked.seconds))
    took = [one[0] for one in starts]
    ratio = median(ours / bare for ours, bare in zip(took, bares, strict=True))
    print(f"hero-broker --help        {median(helps):.2f} s")
    print(f"start to first connection {median(took):.2f} s, {ratio:.2f} of a bare Starlette with aiohttp")
    print(f"resident after the start  {median(one[1] for one in starts) / MIB:.0f} MiB")
    print(f"resident after calls      {median(one[2] for one in starts) / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
