"""`hero-broker statement`: writes what a month cost, as an HTML file for each recipient."""

import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hero_broker.cli.backend import OPTIONS, Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.files import make_folder, write_file
from hero_broker.cli.notices import warn
from hero_broker.cli.printing import say
from hero_broker.cli.settings_options import reported_faults
from hero_broker.cli.statement_calls import CallSelection, StatementCalls, UnequalSums, read_calls
from hero_broker.cli.times import MONTH_FORMS, parse_month, parse_zone
from hero_broker.client import QueryFilter, methods
from hero_broker.core.addresses import UNKNOWN, canonical_ip
from hero_broker.core.local_time import format_time
from hero_broker.core.queries import NO_PERIOD
from hero_broker.dashboard.statement import (
    Issuer,
    Recipient,
    Statement,
    StatementPeriod,
    statement_file,
)
from hero_broker.reports.totals import sum_totals
from hero_broker.settings import statements_of
from hero_broker.util.nearest import NameIndex, did_you_mean

MAX_LISTED = 12  # billing periods in a message
MAX_WORD_BYTES = 80  # of a label or a reference in the name of a file
UNLABELLED = "no-label"  # in the name of a file

EXAMPLES = """Examples:

hero-broker statement --month 2026-11 --label Research

hero-broker statement --month last --tz Europe/Zurich --all --to statements

hero-broker statement --period 2026-11 --ip 192.0.2.7 --to bill.html"""


class _FileState(Enum):
    """What is at the path of a statement before it is written."""

    MISSING = auto()
    EQUAL = auto()
    DIFFERENT = auto()


def statement(
    month: Annotated[
        str | None,
        typer.Option(
            help=f"The calls of {MONTH_FORMS}: those of the billing period with this reference. If there is none, the "
            "statement is a draft of the calls that began in the month."
        ),
    ] = None,
    period: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="The calls of the billing period with this reference.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only addresses with this label; an empty text selects those without one.")
    ] = None,
    ip: Annotated[str | None, typer.Option(help="Only this address.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Write a statement for each label, and one for addresses without a label.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The file, or an existing folder for it; with --all the folder, which is created if it is missing. By "
            "default a file such as statement-2026-11-Research.html in the working directory.",
        ),
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(
            help="Time zone of months, days and times; by default that in which the period was closed, or UTC."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with another content.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write a statement of a month for a label, an address or all, as HTML. A browser prints it, or makes a PDF of it.

    The settings `[statements]` name its issuer. An existing file with another content is left as it is.
    """
    if (month is None) == (period is None):
        raise typer.BadParameter("give either --month or --period")
    if every + (label is not None) + (ip is not None) > 1:
        raise typer.BadParameter("--label, --ip and --all exclude each other")
    wanted = Recipient(label, None if ip is None else _parse_ip(ip))
    zone, now = parse_zone(tz or "UTC"), int(time.time())
    window = None if month is None else parse_month(month, zone, now)
    reference = period or "" if window is None else format_time(window[0], zone, "month")
    issuer = _read_issuer()
    with open_backend(url, token, database, {**OPTIONS, "filter": "--label"}) as backend:
        about, calls = _read_period(backend, reference, window, wanted, tz, every=every)
        if not calls:
            _end_without_calls(backend, wanted, reference)
    statements = [Statement(issuer, one, about, own.lines, own.days) for one, own in calls.items()]
    if any(one.days is None for one in statements):
        warn(f"{reference} has too many calls to add up by day: no statement has a table or a chart of days.")
    if about.closed_at is None:
        warn(f"Draft: {reference} is not closed; the amounts may change.")
    paths = _paths(to, statements, every=every)
    _write(dict(zip(paths, map(statement_file, statements), strict=True)), is_forced=force)
    if not issuer.name:
        warn("No issuer: `from` of [statements], in the settings file of this command, names one.")


def _paths(to: Path | None, statements: Sequence[Statement], *, every: bool) -> list[Path]:
    if to is not None and not every and not _is_folder(to):
        return [to]
    return [(to or Path()) / file_name(one) for one in statements]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long; reading it will report the cause
        return False


def _parse_ip(text: str) -> str:
    try:
        return UNKNOWN if text == UNKNOWN else canonical_ip(text)
    except ValueError as error:
        raise typer.BadParameter(f'must be an IPv4 or IPv6 address, or "{UNKNOWN}"', param_hint="--ip") from error


def _read_issuer() -> Issuer:
    with reported_faults():
        settings = statements_of(os.environ)
    return Issuer(settings.issuer, settings.contact, settings.note)


def _read_period(
    backend: Backend, reference: str, window: tuple[int, int] | None, wanted: Recipient, tz: str | None, *, every: bool
) -> tuple[StatementPeriod, dict[Recipient, StatementCalls]]:
    """Return the billing period with a reference, or a draft of the window, and the calls of each recipient."""
    periods = backend.call(methods.periods()).data
    closed = next((one for one in periods if one.reference == reference), None)
    if closed is None and window is None:
        known = ", ".join(one.reference for one in periods[-MAX_LISTED:])
        _end_with(f"No billing period has the reference {reference}{f'; there are: {known}' if known else ''}.")
    zone = parse_zone(tz or (closed and closed.tz) or "UTC")
    since, until = (None, None) if closed is not None or window is None else window
    # A draft has what a close would bill: nothing that is in a period already.
    selected: QueryFilter = {"period": reference} if closed is not None else {"period": NO_PERIOD} if periods else {}
    if wanted.ip is not None:
        selected["ip"] = wanted.ip
    elif wanted.label is not None:
        selected["label"] = wanted.label
    try:
        calls, labels = read_calls(backend, CallSelection(zone, selected, since, until, by_label=every))
    except UnequalSums:
        if closed is not None:
            _end_with_difference(reference)
        _end_with(
            f"The tables of {reference} do not add up: no statement was written. Calls were probably recorded "
            "meanwhile: run the command again; if it fails again, `hero-broker verify` shows the differences."
        )
    by_recipient = {_recipient(wanted, own, every=every): own for own in calls}
    if closed is None:
        return StatementPeriod(reference, zone, since=since, until=until, is_rest=bool(periods)), by_recipient
    total = sum_totals([line.totals for own in calls for line in own.lines])
    whole = (closed.totals.requests, int(closed.totals.total_cost_nano_usd))
    if wanted == Recipient() and (total.requests, total.cost_nano_usd) != whole:
        _end_with_difference(reference)
    period = StatementPeriod(
        reference,
        zone,
        closed_at=closed.marked_at,
        until=closed.until,
        late_requests=closed.late_requests or 0,
        has_labels_of_close=labels == "close",
    )
    return period, by_recipient


def _recipient(wanted: Recipient, calls: StatementCalls, *, every: bool) -> Recipient:
    label = calls.lines[0].label
    if every:
        return Recipient(label or "")
    return wanted if wanted.ip is None else replace(wanted, label=label)


def _end_with_difference(reference: str) -> NoReturn:
    _end_with(f"The calls of {reference} do not add up to the period: `hero-broker verify` shows the differences.")


def _end_without_calls(backend: Backend, wanted: Recipient, reference: str) -> NoReturn:
    whose = f" of {wanted.ip or wanted.label}" if wanted.ip or wanted.label else ""
    if wanted.label == "":
        whose = " of addresses without a label"
    question = ""
    if wanted.label:
        names = {item.label for item in backend.call(methods.list_labels()).data}
        question = did_you_mean(NameIndex(sorted(names - {wanted.label})).nearest(wanted.label))
    _end_with(
        f"There are no calls{whose} in {reference}: no statement was written{f'; {question}' if question else '.'}"
    )


def _end_with(message: str) -> NoReturn:
    warn(message)
    raise typer.Exit(FAILED)


def file_name(statement: Statement) -> str:
    """Return the name of a statement's file; recipients that differ have names that differ."""
    recipient = statement.recipient
    if recipient.ip is not None:
        # Dots, which no label has here: so an address has no label's name.
        whose = f"-{recipient.ip.replace(':', '.')}" if recipient.ip != UNKNOWN else f"-{UNKNOWN}"
    elif recipient.label is not None:
        whose = f"-{_word(recipient.label)}" if recipient.label else f"-{UNLABELLED}"
    else:
        whose = ""
    draft = "draft-" if statement.period.closed_at is None else ""
    return f"statement-{draft}{_word(statement.period.reference)}{whose}.html"


def _word(text: str) -> str:
    """Return a text as a part of a file's name; a digest follows if the text is not the part itself."""
    word = "".join(one if one.isalnum() or one in "-_" else "-" for one in text)
    word = re.sub("-{2,}", "-", word)
    cut = word.encode()[:MAX_WORD_BYTES].decode(errors="ignore")
    if cut == text and text not in (UNLABELLED, UNKNOWN):
        return text
    return f"{cut}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write(files: Mapping[Path, bytes], *, is_forced: bool) -> None:
    """Write files and print their paths; if one exists with another content, write none, unless forced."""
    states = {path: _state_of(path, content) for path, content in files.items()}
    if _FileState.DIFFERENT in states.values() and not is_forced:
        for path, state in states.items():
            if state is _FileState.DIFFERENT:
                warn(f"{path} exists with another content, and is left as it is; --force replaces it.")
        raise typer.Exit(FAILED)
    for path, content in files.items():
        if states[path] is not _FileState.EQUAL:
            make_folder(path.parent)
            write_file(path, content)
        say(str(path))


def _state_of(path: Path, content: bytes) -> _FileState:
    """Compare what is at a path with a content; end the command with a message if it cannot be read."""
    try:
        if not path.exists():
            return _FileState.MISSING
        return _FileState.EQUAL if path.is_file() and path.read_bytes() == content else _FileState.DIFFERENT
    except OSError as error:
        warn(f"{path} cannot be read: {error.strerror}")
        raise typer.Exit(FAILED) from error
