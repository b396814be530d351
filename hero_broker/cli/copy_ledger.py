"""`hero-broker copy-ledger`: copies a ledger into another store."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from hero_broker.cli.backend import ledger_url, redact_url
from hero_broker.cli.exit_codes import CANNOT_START, WRONG_USE
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import say
from hero_broker.core.errors import DatabaseUnusable, StoreUnavailable
from hero_broker.core.money import usd_text
from hero_broker.store.causes import cause_of
from hero_broker.store.database import open_database, open_for_reading
from hero_broker.store.ledger_copy import LedgersDiffer, copy_ledger, ledger_sums

EXAMPLES = """Example:

hero-broker copy-ledger sqlite:///hero-broker.db postgresql://user:password@host/ledger"""


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of the ledger to read; it may be in use.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="URL of the ledger to write; it must not be in use.")],
) -> None:
    """Copy a ledger into another store, such as SQLite into PostgreSQL. Run it again to resume, or to catch up."""
    urls = [ledger_url(url) for url in (source, target)]
    if urls[0] == urls[1]:
        warn("FROM and TO are the same ledger")
        raise typer.Exit(WRONG_USE)
    warn(f"reading {redact_url(urls[0])}")
    warn(f"writing {redact_url(urls[1])}")
    file = make_url(urls[1]).database
    if urls[1].startswith("sqlite:") and file and not (folder := Path(file).parent).is_dir():
        warn(f"the folder {folder} does not exist; make it, or mount its disk")
        raise typer.Exit(WRONG_USE)
    total = None
    try:
        with open_for_reading(urls[0]) as reading, open_database(urls[1]) as writing:
            for total in copy_ledger(reading.engine, writing.engine):
                warn(f"{counted(total.rows, 'row')} copied")
            with writing.reading() as connection:
                total = ledger_sums(connection)
    except (DatabaseUnusable, StoreUnavailable, LedgersDiffer) as error:
        warn(f"copy-ledger stopped: {error}")
        raise typer.Exit(CANNOT_START) from error
    except DBAPIError as error:
        warn(f"copy-ledger stopped: {cause_of(error)}")
        raise typer.Exit(CANNOT_START) from error
    cost = usd_text(total.cost_nano_usd)
    say(f"{counted(total.rows, 'row')}, {cost} USD: the same in both ledgers")
