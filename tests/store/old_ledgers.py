"""Ledgers of earlier schemas, as the program of that time made them."""

from pathlib import Path

from sqlalchemy import Connection, insert

from hero_broker.store import rollups
from hero_broker.store.schema import METADATA, REQUEST_LOGS, SCHEMA_VERSION

SAMPLES = Path(__file__).parent / "samples"
OLD_VERSION = 4


def make_old_ledger(connection: Connection) -> None:
    """Make an empty ledger of schema 4. Of its tables, only `request_logs` is made from the statement of then."""
    METADATA.create_all(connection, tables=[table for table in METADATA.sorted_tables if table is not REQUEST_LOGS])
    statement = SAMPLES / f"request-logs-{OLD_VERSION}.{connection.dialect.name}.sql"
    connection.exec_driver_sql(statement.read_text())
    connection.execute(insert(SCHEMA_VERSION), [{"version": number} for number in range(1, OLD_VERSION + 1)])
    rollups.begin(connection)
