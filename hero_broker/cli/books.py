"""`hero-broker verify` and `rebuild`: the proof of the books, and how they are mended."""

import time

import typer
from rich.console import Console

from hero_broker.cli.asking import TokenOption, UrlOption, asking
from hero_broker.cli.exits import FAILED
from hero_broker.cli.printing import say, warn
from hero_broker.client import DEFAULT_URL, answers, questions

PROGRESS_EVERY_S = 0.5
STUCK_S = 60.0  # without any progress; a step takes a second


def _check_progress(health: answers.Health, moved_at: float) -> None:
    """End the command if the roll-ups cannot be made, or are not made."""
    failing = next((one for one in health.duties if one.duty == "rollups" and one.status == "failing"), None)
    if failing is not None:
        warn(f"the roll-ups cannot be made: {failing.last_error}")
        raise typer.Exit(FAILED)
    if time.monotonic() > moved_at + STUCK_S:
        warn(f"the roll-ups have not moved for {STUCK_S:.0f} s; the broker is {health.status}")
        raise typer.Exit(FAILED)


def verify(url: UrlOption = DEFAULT_URL, token: TokenOption = None) -> None:
    """Prove that rows, roll-ups and billing periods agree. Exit code 1 where they do not."""
    with asking(url, token) as asker:
        found = asker.ask(questions.verify()).data
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


def rebuild(url: UrlOption = DEFAULT_URL, token: TokenOption = None) -> None:
    """Have the running broker make its roll-ups anew from all rows, and wait for it. Reports stay exact meanwhile."""
    progress = Console(stderr=True, highlight=False)
    with asking(url, token) as asker:
        before = asker.ask(questions.health()).rollups
        asker.ask(questions.rebuild())
        seen, moved_at = before, time.monotonic()
        while True:
            health = asker.ask(questions.health())
            now = health.rollups
            if now is not None and before is not None and now.generation > before.generation:
                break
            before = before or now
            if now != seen:
                seen, moved_at = now, time.monotonic()
            _check_progress(health, moved_at)
            if now is not None and now.rebuilt_seq is not None and progress.is_terminal:
                progress.print(f"{now.rebuilt_seq} of {now.folded_seq} rows", end="\r", markup=False)
            time.sleep(PROGRESS_EVERY_S)
    say(f"roll-ups made anew from {now.folded_seq} rows")
