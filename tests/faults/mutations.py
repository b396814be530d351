"""Breaks the code that settles calls, one place at a time, and says which fast test notices: `--help`.

Each mutation is applied to a copy of the program, and the fast tests run against the copy. A mutation that no test
notices is a rule that no test checks: write the test.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("hero_broker", "tests", "pyproject.toml", "openrpc.json")
FOLDERS = ("tests/data_plane", "tests/metering", "tests/ledger")
WITHIN_S = 240  # for one run of the tests

CALL_RUN = "data_plane/call_run.py"
EXCHANGE = "data_plane/exchange.py"
RELAY = "data_plane/relay.py"
METER = "metering/meter.py"
LEDGER = "ledger/ledger.py"


@dataclass(frozen=True)
class Mutation:
    """A change of the program that breaks a rule."""

    name: str
    module: str
    old: str  # must occur exactly once
    new: str


MUTATIONS = (
    Mutation(
        "a fault of ours counts as ok", CALL_RUN, "self._outcome = Outcome.INTERNAL_ERROR", "self._outcome = Outcome.OK"
    ),
    Mutation("a charged failure is free", CALL_RUN, "meter.answered |= error.may_charge", "pass"),
    Mutation(
        "drain and stop are swapped",
        CALL_RUN,
        "if self._drain is not None and self._drain.has_ended():",
        "if self._drain is None or not self._drain.has_ended():",
    ),
    Mutation("a stop sends no error", CALL_RUN, 'self._respond_failed(Interrupted("The broker is stopping."))', "pass"),
    Mutation("the drain is not stopped", CALL_RUN, "self._drain.stop()", "pass"),
    Mutation("the response is not closed", CALL_RUN, "self._reply.close()", "pass"),
    Mutation("nothing is estimated", CALL_RUN, "await self._estimate() if meter.needs_estimate else None", "None"),
    Mutation("a drained call counts as ok", CALL_RUN, "if relay.is_gone and self._outcome is Outcome.OK:", "if False:"),
    Mutation(
        "the tail leaves before the row",
        CALL_RUN,
        "            due = meter.close(",
        "            await relay.finish(self._tail)\n            due = meter.close(",
    ),
    Mutation(
        "observers see nothing", CALL_RUN, "notify(self._services.observers, Settled(due.row, self._attempts))", "pass"
    ),
    Mutation(
        "the row is offered twice",
        CALL_RUN,
        "billed = self._services.ledger.offer(due)",
        "billed = self._services.ledger.offer(due) and self._services.ledger.offer(due)",
    ),
    Mutation("an unbilled answer is sent", CALL_RUN, "if not billed:", "if False:"),
    Mutation("the row is not flushed", CALL_RUN, "if billed and self._services.fsync:", "if False:"),
    Mutation(
        "a failed flush counts as done",
        CALL_RUN,
        "            return False\n        return True",
        "        return True",
    ),
    Mutation(
        "drains although it is off", CALL_RUN, "self._meter.is_sent and limits.drain and", "self._meter.is_sent and"
    ),
    Mutation("drains what was not sent", CALL_RUN, "self._meter.is_sent and limits.drain and", "limits.drain and"),
    Mutation("one drain too many", CALL_RUN, "calls.draining < limits", "calls.draining <= limits"),
    Mutation("a drain keeps its place", CALL_RUN, "                calls.draining -= 1\n", "                pass\n"),
    Mutation("the last chunk does not wait", CALL_RUN, "self._tail = [latest]", "await self._relay.send(latest)"),
    Mutation("an ended call stays in flight", CALL_RUN, "del self._calls.tasks[task]", "pass"),
    Mutation("the upload stays open", CALL_RUN, "await self._call.upload.close()", "pass"),
    Mutation("a sent call is sent to another", CALL_RUN, "not meter.is_sent and meter.may_retry", "meter.may_retry"),
    Mutation("nobody waits, another is tried", CALL_RUN, "not meter.is_sent and meter.may_retry", "not meter.is_sent"),
    Mutation("a cut chunk stream looks whole", CALL_RUN, "self._tail = [ABORT]", "self._tail = [b'']"),
    Mutation("a cut body is forgotten", CALL_RUN, 'self._meter.on_cut_body(b"".join(pieces))', "pass"),
    Mutation("the second cancel is dropped", EXCHANGE, "for _ in range(2):", "for _ in range(1):"),
    Mutation("the grace is dropped", EXCHANGE, "timeout=max(grace_s, 0.0)", "timeout=0"),
    Mutation(
        "what was not sent is charged",
        METER,
        "(outcome is Outcome.PROVIDER_ERROR or not self.is_sent)",
        "outcome is Outcome.PROVIDER_ERROR",
    ),
    Mutation("a refused call is charged", METER, "UsageSource.NONE, is_free=True)", "UsageSource.NONE)"),
    Mutation("estimates are thrown away", METER, "estimate or rough", "rough"),
    Mutation("reported usage is ignored", METER, "        if self._reported is not None:", "        if False:"),
    Mutation("a lost row counts as written", LEDGER, "return segment != NOWHERE", "return True"),
    Mutation("a row is not queued", LEDGER, "self._due.append(_Waiting(segment, due, time.monotonic()))", "pass"),
    Mutation(
        "a call begins without its note",
        LEDGER,
        'raise JournalFull("the journal cannot be written") from error',
        "pass",
    ),
    Mutation("an aborted response is ended", RELAY, "if self.is_gone or ABORT in tail:", "if self.is_gone:"),
    Mutation("a response never ends", RELAY, "            self._is_over = True\n", ""),
    Mutation("a failed end is not cut off", RELAY, "            if not is_complete:", "            if False:"),
    Mutation("leaving is not passed on", RELAY, "        self._on_client_left()\n", ""),
)


def mutate(root: Path, mutation: Mutation) -> None:
    """Apply a mutation to the copy in `root`."""
    path = root / "hero_broker" / mutation.module
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.name}: the text is {text.count(mutation.old)} times in {mutation.module}")
    path.write_text(text.replace(mutation.old, mutation.new))


def noticed(mutation: Mutation | None, folders: list[str]) -> str | None:
    """Run the fast tests against a copy with the mutation, or without one; return the test that fails."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        root = Path(name)
        for part in COPIED:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, root / part)
        if mutation is not None:
            mutate(root, mutation)
        command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-x", "--timeout=40"]
        done = subprocess.run(
            [*command, "-m", "not slow", *folders],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    if done.returncode == 0:
        return None
    failed = re.search(r"^FAILED (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if failed is None and "Timeout" in done.stdout + done.stderr:
        return "a test that ran into its time limit"
    if failed is None:
        raise SystemExit(f"The tests cannot run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[1]


def main() -> int:
    """Run all mutations, or those whose names contain a word; return 1 if some are not noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("word", nargs="?", default="", help="only the mutations whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="runs of the tests at a time")
    parser.add_argument("--folders", nargs="+", default=list(FOLDERS), help="the tests that run")
    given = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if given.word in mutation.name]
    if (failing := noticed(None, given.folders)) is not None:
        print(f"The tests fail without any mutation: {failing}")  # noqa: T201
        return 1
    with ThreadPoolExecutor(given.jobs) as pool:
        found = pool.map(lambda mutation: noticed(mutation, given.folders), chosen)
        missed = 0
        for mutation, test in zip(chosen, found, strict=True):
            missed += test is None
            print(f"{mutation.module} | {mutation.name} | {test or 'NOT NOTICED'}", flush=True)  # noqa: T201
    print(f"{len(chosen)} mutations, {missed} not noticed")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
