"""`hero-broker verify` and `rebuild`: the proof of the books, and how they are mended."""

import time

import typer
from rich.console import Console

from hero_broker.cli.backend import Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.printing import say, warn
from hero_broker.client import methods, models

PROGRESS_EVERY_S = 0.5
STALLED_S = 120.0  # a rebuild that has not moved for so long is not waited for any longer
FAILING_S = 5.0  # without any progress while the broker cannot make them: not once, for a lock that was held


def verify(url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None) -> None:
    """Prove that rows, roll-ups and billing periods agree. Exit code 1 where they do not."""
    with open_backend(url, token, database) as asker:
        found = asker.call(methods.verify()).data
    for one in found.listed:
        say(
            f"{one.table} {one.key} span_s={one.span_s} begins_at={one.begins_at}:"
            f" expected {one.expected}, found {one.found}"
        )
    say(f"{found.rows} rows, {found.differences} differences")
    if found.behind:
        warn(f"{found.behind} rows are in no sum yet, and nothing was compared with them: see system.health")
    if not found.ok:
        raise typer.Exit(FAILED)


def rebuild(url: UrlOption = None, token: TokenOption = None) -> None:
    """Have the running broker make its roll-ups anew from all rows, and wait for it. Reports stay exact meanwhile."""
    with open_backend(url, token) as asker:
        before = asker.call(methods.health()).rollups
        asker.call(methods.rebuild())
        done = rebuilt(asker, before)
    if done is None:
        warn(f"the rebuild has not moved for {STALLED_S:.0f} s; is the database locked? It goes on once it can")
        raise typer.Exit(FAILED)
    say(f"roll-ups made anew from {done.folded_seq} rows")


def rebuilt(asker: Backend, before: models.Rollups | None, stalled_s: float = STALLED_S) -> models.Rollups | None:
    """Return the roll-ups once a rebuild has replaced those `before`; None if it does not move for `stalled_s`.

    The command ends with a message if the broker says that it cannot make them.
    """
    progress = Console(stderr=True, highlight=False)
    seen, moved_at = before, time.monotonic()
    while True:
        health = asker.call(methods.health())
        now = health.rollups
        if now is not None and before is not None and now.generation > before.generation:
            return now
        before = before or now
        if now != seen:
            seen, moved_at = now, time.monotonic()
        failing = next((one for one in health.duties if one.duty == "rollups" and one.status == "failing"), None)
        if failing is not None and time.monotonic() - moved_at > FAILING_S:
            warn(f"the roll-ups cannot be made: {failing.last_error}")
            raise typer.Exit(FAILED)
        if time.monotonic() - moved_at > stalled_s:
            return None
        if now is not None and now.rebuilt_seq is not None and progress.is_terminal:
            progress.print(f"{now.rebuilt_seq} of {now.folded_seq} rows", end="\r", markup=False)
        time.sleep(PROGRESS_EVERY_S)
