"""Starts the gateways of a comparison: brokers of this and of other source trees, and those that only pass on."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks.litellm import litellm
from tests.benchmarks.processes import MEASURED_CORE, packages_but, pin, started
from tests.benchmarks.rounds import Books, Gateway
from tests.benchmarks.scenarios import settings
from tests.e2e_support import started_broker

TREE = Path(__file__).resolve().parents[2]
BROKER, AGAIN = "broker", "broker again"
PASSING, SLOW, BARE = "aiohttp, no billing", "httpx, no billing", "httpx without sniffio"
RELAY, LITELLM = "bare relay", "LiteLLM, no database"


@contextmanager
def gateways(
    provider_port: int,
    *,
    against: Mapping[str, Path],
    with_httpx: bool,
    without_sniffio: bool,
    litellm_python: str | None,
) -> Iterator[dict[str, Gateway]]:
    """Run all gateways during the block, each on the measured core, and stopped; `against` has trees by name."""
    url = f"http://127.0.0.1:{provider_port}/v1"
    with ExitStack() as stack:
        found = {}
        # The broker's second process is not next to the first: what lies two turns and more apart differs more than
        # neighbours do on a machine whose speed changes, and the noise must not look smaller than it is.
        found[BROKER] = stack.enter_context(_broker(url, TREE))
        found[PASSING] = _passing(stack, "candidates", "aiohttp", url)
        for name, tree in {**against, AGAIN: TREE}.items():
            found[name] = stack.enter_context(_broker(url, tree))
        if with_httpx:
            found[SLOW] = _passing(stack, "candidates", "httpx", url)
        if without_sniffio:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
            found[BARE] = _passing(stack, "candidates", "httpx", url, packages=packages_but("sniffio", folder))
        found[RELAY] = _passing(stack, "relay", str(provider_port))
        if litellm_python is not None:
            found[LITELLM] = Gateway(*stack.enter_context(litellm(litellm_python, url)))
        for gateway in found.values():
            pin(gateway.pid, MEASURED_CORE)
            gateway.stop()
            stack.callback(gateway.go_on)  # what is stopped does not end
        yield found


@contextmanager
def _broker(url: str, tree: Path) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="hb-") as text:
        folder = Path(text)
        config = folder / "hero-broker.toml"
        config.write_text(settings(url))
        with started_broker(folder / "state", "--config", str(config), PYTHONPATH=str(tree)) as running:
            books = Books(running, folder / "state" / "hero-broker.db")
            yield Gateway(running.process.pid, int(running.url.rpartition(":")[2]), books)


def _passing(stack: ExitStack, module: str, *arguments: str, packages: Path | None = None) -> Gateway:
    return Gateway(*stack.enter_context(started(f"tests.benchmarks.{module}", *arguments, packages=packages)))
