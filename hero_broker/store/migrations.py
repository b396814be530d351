"""Forward-only migrations: steps that bring a ledger's schema to the version of this program."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, Table, insert, inspect, select
from sqlalchemy.schema import CreateColumn

from hero_broker.store import rollups
from hero_broker.store.engine import WRITES
from hero_broker.store.schema import (
    BILLING_PERIODS,
    METADATA,
    PRICES,
    REQUEST_LOGS,
    ROLLUPS,
    SCHEMA_VERSION,
    SUMS_SINCE_5,
)


class WrongVersion(Exception):
    """Another version of the program wrote this database."""


class DatabaseTooNew(WrongVersion):
    """A newer version of the program wrote this database; its schema is unknown here."""


def _missing_tables(connection: Connection) -> None:
    METADATA.create_all(connection)


def _sources_of_prices(connection: Connection) -> None:
    _add_columns(connection, PRICES, "source", "version")


def _add_columns(connection: Connection, table: Table, *names: str) -> None:
    """Add columns, nullable ones, as a broker of the previous release may write at the same time."""
    existing = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for name in names:
        if name not in existing:  # the first step creates new ledgers with all current columns
            column = CreateColumn(table.c[name]).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")


def _rollups(connection: Connection) -> None:
    METADATA.create_all(connection)
    rollups.begin(connection)


def _add_counts(connection: Connection, table: Table, *names: str) -> None:
    """Add columns that are 0 in all rows so far.

    They have no default afterwards on PostgreSQL, so that a broker of the previous release, which leaves them out,
    cannot insert rows.
    """
    existing = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for name in names:
        if name not in existing:
            column = CreateColumn(table.c[name]).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column} DEFAULT 0")
            if connection.dialect.name != "sqlite":  # a SQLite file has one broker
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ALTER COLUMN {name} DROP DEFAULT")


def _kinds_routes_and_keys(connection: Connection) -> None:
    """Add the columns of rows, and the sums, that a ledger of version 0.3 lacks.

    The roll-ups begin again, empty: the broker serves while it folds all rows into them.
    """
    _add_columns(
        connection,
        REQUEST_LOGS,
        "image_input_tokens",
        "image_output_tokens",
        "cache_write_1h_tokens",
        "images",
        "web_searches",
        "file_searches",
        "service_tier",
        "requested_model",
        "first_error",
        "provider_key",
    )
    METADATA.create_all(connection)
    for table in ROLLUPS:
        # Folds of the previous release fail then. Nothing is lost: reports add up what is not folded, and brokers of
        # this release fold all rows.
        _add_counts(connection, table, *SUMS_SINCE_5)
    _add_columns(connection, BILLING_PERIODS, *SUMS_SINCE_5, "summed_to_seq")
    rollups.begin_again(connection)


def _closed_periods(connection: Connection) -> None:
    """Let a period end at a time, too; so two periods may have the same `from_seq`."""
    METADATA.create_all(connection)  # `billing_lines`
    _add_columns(
        connection,
        BILLING_PERIODS,
        "until",
        "tz",
        "earlier_from_seq",
        "earlier_since",
        "held_over_from_seq",
    )
    _add_counts(connection, BILLING_PERIODS, "late_requests", "held_over_requests")
    unique = {one["name"] for one in inspect(connection).get_unique_constraints(BILLING_PERIODS.name)}
    if "billing_periods_from_seq" not in unique:
        return
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("ALTER TABLE billing_periods DROP CONSTRAINT billing_periods_from_seq")
        return
    # SQLite drops no constraint: the table is made again.
    periods = [row._asdict() for row in connection.execute(select(BILLING_PERIODS))]
    BILLING_PERIODS.drop(connection)
    BILLING_PERIODS.create(connection)
    if periods:
        connection.execute(insert(BILLING_PERIODS), periods)


def _usage_faults(connection: Connection) -> None:
    _add_columns(connection, REQUEST_LOGS, "unexplained_tokens", "cut_counts")


def _cost_shares(connection: Connection) -> None:
    _add_columns(connection, REQUEST_LOGS, "cost_shares")


STEPS: tuple[Callable[[Connection], None], ...] = (
    _missing_tables,
    _sources_of_prices,
    _rollups,
    _missing_tables,  # labels
    _kinds_routes_and_keys,
    _closed_periods,
    _usage_faults,
    _missing_tables,  # responses
    _cost_shares,
    _missing_tables,  # limits
)


def migrate(engine: Engine) -> None:
    """Apply the missing steps, all in one transaction.

    Raises:
        DatabaseTooNew: the database has steps that are unknown to this program; nothing is changed.
    """
    with engine.connect() as connection:  # if no step is missing, do not wait for the writers' lock
        if _version(connection) == len(STEPS):
            return
    with engine.execution_options(**WRITES).begin() as connection:
        version = _version(connection)
        for number, step in enumerate(STEPS[version:], start=version + 1):
            step(connection)
            connection.execute(insert(SCHEMA_VERSION).values(version=number))


def check_version(engine: Engine) -> None:
    """Reject a database whose schema is not of this version; change nothing.

    Raises:
        WrongVersion: an older or a newer program wrote the database, or it is not a ledger.
    """
    with engine.connect() as connection:
        version = _version(connection)
    if version < len(STEPS):
        raise WrongVersion(
            f"the database has schema version {version}, and this program needs {len(STEPS)}: "
            "start the broker once to update it"
        )


def _version(connection: Connection) -> int:
    version = 0
    if inspect(connection).has_table(SCHEMA_VERSION.name):
        version = len(connection.execute(select(SCHEMA_VERSION.c.version)).all())
    if version > len(STEPS):
        raise DatabaseTooNew(
            f"the database has schema version {version}; this program supports versions up to {len(STEPS)}"
        )
    return version
