"""Runs a client as its users do: it gets only the broker's URL and a key, from the environment."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e_support import Broker
from tests.stores import query

INSTALLED = "HERO_BROKER_TEST_CLIENTS"  # names the directory of the installed clients
CLIENTS = Path(__file__).parent / "clients"

DESCRIBED = ("kind", "model", "cost_nano_usd", "cost_source", "usage_source", "outcome", "http_status", "error_code")
UNITS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "characters",
    "audio_ms",
    "search_units",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of the ledger says of a call."""

    kind: str
    model: str
    cost_nano_usd: int
    units: dict[str, int]  # those that are not NULL
    stream: bool = False
    usage_source: str = "reported"
    outcome: str = "ok"
    http_status: int = 200
    error_code: str | None = None
    cost_source: str | None = "price"


@dataclass(slots=True)
class Place:
    """One test's client and the rows that its calls left."""

    running: Broker
    database_url: str
    directory: Path  # the client's working directory and home
    installed: Path
    _begins_after: int = field(init=False)

    def __post_init__(self) -> None:
        self._begins_after = self._query("SELECT coalesce(max(seq), 0) FROM request_logs")[0][0]

    def call(self, client: str, *names: str) -> Any:
        """Make one of the calls in a Python client's `calls.py`, and return what it prints."""
        return json.loads(self.run([self.python(client), str(CLIENTS / client / "calls.py"), *names]))

    def call_node(self, client: str, name: str) -> Any:
        """Make one of the calls in a Node client's `calls.mjs`, and return what it prints."""
        return json.loads(self.run(["node", str(self.installed / client / "calls.mjs"), name]))

    def node_command(self, client: str, name: str) -> str:
        """Return the path of a command that a Node client has."""
        return str(self.installed / client / "node_modules" / ".bin" / name)

    def python(self, client: str) -> str:
        """Return the interpreter that has a client."""
        return str(self.installed / client / "bin" / "python")

    def run(self, command: list[str], *, statuses: Sequence[int] = (0,), **environ: str) -> str:
        """Run a client's process to its end, with one of the statuses, and return what it prints."""
        ended = self.ran(command, **environ)
        assert ended.returncode in statuses, ended.stdout + ended.stderr
        return ended.stdout

    def ran(self, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a client's process to its end, whatever its status."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "OPENAI_BASE_URL": f"{self.running.url}/v1",
            "OPENAI_API_KEY": "any",
            "ANTHROPIC_BASE_URL": self.running.url,
            "ANTHROPIC_API_KEY": "any",
            "CO_API_URL": self.running.url,
            "CO_API_KEY": "any",
            "LLM_USER_PATH": str(self.directory),
            **environ,
        }
        return subprocess.run(
            command,
            env=environ,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def rows(self) -> list[Row]:
        """Return every row since the test began, once all are stored."""
        columns = ", ".join((*DESCRIBED, "stream", *UNITS))
        where = f"WHERE seq > {self._begins_after} ORDER BY seq"
        return [_row(values) for values in self._query(f"SELECT {columns} FROM request_logs {where}")]

    def contexts(self) -> list[str | None]:
        """Return the context of every row since the test began, once all are stored."""
        return [
            context
            for (context,) in self._query(
                f"SELECT context FROM request_logs WHERE seq > {self._begins_after} ORDER BY seq"
            )
        ]

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        self.running.usage()
        return query(self.database_url, statement)


def _row(values: tuple[Any, ...]) -> Row:
    told = dict(zip((*DESCRIBED, "stream", *UNITS), values, strict=True))
    units = {name: told[name] for name in UNITS if told[name] is not None}
    return Row(units=units, stream=bool(told["stream"]), **{name: told[name] for name in DESCRIBED})
