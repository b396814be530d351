"""`hero-broker verify` and `rebuild`: checks the ledger's sums, and rebuilds them."""

import time

import typer
from rich.console import Console

from hero_broker.cli.backend import Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import say
from hero_broker.client import methods, models

PROGRESS_EVERY_S = 0.5
STALLED_S = 120.0  # how long to wait for a rebuild that makes no progress
FAILING_S = 5.0  # how long the duty may fail without progress: a lock may be held for a moment


def verify(url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None) -> None:
    """Prove that rows, roll-ups and billing periods agree. Exit code 1 if they do not."""
    with open_backend(url, token, database) as backend:
        result = backend.call(methods.verify()).data
    for item in result.listed:
        say(
            f"{item.table} {item.key} span_s={item.span_s} begins_at={item.begins_at}:"
            f" expected {item.expected}, found {item.found}"
        )
    say(f"{counted(result.rows, 'row')}, {counted(result.differences, 'difference')}")
    if result.behind:
        rows = counted(result.behind, "row")
        warn(f"newer than the sums, and not compared: {rows}; reports add them one by one")
    if not result.ok:
        raise typer.Exit(FAILED)


def rebuild(url: UrlOption = None, token: TokenOption = None) -> None:
    """Rebuild the running broker's roll-ups from all rows, and wait until it is done. Reports stay exact meanwhile."""
    with open_backend(url, token) as backend:
        before = backend.call(methods.health()).rollups
        backend.call(methods.rebuild())
        done = wait_for_rebuild(backend, before)
    if done is None:
        warn(f"the rebuild has made no progress for {STALLED_S:.0f} s; is the database locked? The broker keeps trying")
        raise typer.Exit(FAILED)
    say(f"roll-ups rebuilt, up to seq {done.folded_seq}")


def wait_for_rebuild(
    backend: Backend, before: models.Rollups | None, stalled_s: float = STALLED_S
) -> models.Rollups | None:
    """Return the roll-ups that replace `before`; None if the rebuild makes no progress for `stalled_s`.

    End the command with a message if the broker reports that it cannot rebuild them.
    """
    progress = Console(stderr=True, highlight=False)
    seen, moved_at = before, time.monotonic()
    while True:
        health = backend.call(methods.health())
        now = health.rollups
        if now is not None and before is not None and now.generation > before.generation:
            return now
        before = before or now
        if now != seen:
            seen, moved_at = now, time.monotonic()
        failing = next((duty for duty in health.duties if duty.duty == "rollups" and duty.status == "failing"), None)
        if failing is not None and time.monotonic() - moved_at > FAILING_S:
            warn(f"the roll-ups cannot be rebuilt: {failing.last_error}")
            raise typer.Exit(FAILED)
        if time.monotonic() - moved_at > stalled_s:
            return None
        if now is not None and now.rebuilt_seq is not None and progress.is_terminal:
            progress.print(f"{now.rebuilt_seq} of {now.folded_seq} rows", end="\r", markup=False)
        time.sleep(PROGRESS_EVERY_S)
