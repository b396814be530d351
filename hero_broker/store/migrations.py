"""Forward-only steps that bring a ledger's schema to the version that this program writes."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, inspect, select

from hero_broker.store import rollups
from hero_broker.store.engine import WRITES
from hero_broker.store.schema import METADATA, PRICES, SCHEMA_VERSION


class WrongVersion(Exception):
    """Another version of the program has written this database."""


class DatabaseTooNew(WrongVersion):
    """A newer one, whose schema is not known here."""


def _missing_tables(connection: Connection) -> None:
    METADATA.create_all(connection)


def _sources_of_prices(connection: Connection) -> None:
    there = {column["name"] for column in inspect(connection).get_columns(PRICES.name)}
    for name in ("source", "version"):
        if name not in there:  # the first step makes new ledgers with all columns of today
            connection.exec_driver_sql(f"ALTER TABLE prices ADD COLUMN {name} TEXT")


def _rollups(connection: Connection) -> None:
    METADATA.create_all(connection)
    rollups.begin(connection)


STEPS: tuple[Callable[[Connection], None], ...] = (
    _missing_tables,
    _sources_of_prices,
    _rollups,
    _missing_tables,  # labels
)


def migrate(engine: Engine) -> None:
    """Apply the steps that the database lacks, all in one transaction.

    Raises:
        DatabaseTooNew: the database has steps that this program does not know; nothing is changed.
    """
    with engine.connect() as connection:  # the lock of those who write is not waited for where nothing is lacking
        if _version(connection) == len(STEPS):
            return
    with engine.execution_options(**WRITES).begin() as connection:
        version = _version(connection)
        for number, step in enumerate(STEPS[version:], start=version + 1):
            step(connection)
            connection.execute(insert(SCHEMA_VERSION).values(version=number))


def check_version(engine: Engine) -> None:
    """Refuse a database that lacks steps, without taking them.

    Raises:
        WrongVersion: an older or a newer program wrote it, or it is no ledger.
    """
    with engine.connect() as connection:
        version = _version(connection)
    if version < len(STEPS):
        raise WrongVersion(
            f"the database has schema version {version}, and this program reads {len(STEPS)}: start its broker once"
        )


def _version(connection: Connection) -> int:
    version = 0
    if inspect(connection).has_table(SCHEMA_VERSION.name):
        version = len(connection.execute(select(SCHEMA_VERSION.c.version)).all())
    if version > len(STEPS):
        raise DatabaseTooNew(f"the database has schema version {version}; this program knows up to {len(STEPS)}")
    return version
