"""A ledger of an earlier schema gets every column that a new one has."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, inspect

from hero_broker.store.database import open_database
from hero_broker.store.engine import WRITES
from hero_broker.store.schema import METADATA, REQUEST_LOGS
from tests.ledger.rows import row
from tests.store.old_ledgers import make_old_ledger


def columns_of(engine: Engine) -> dict[str, tuple[str, bool]]:
    with engine.connect() as connection:
        columns = inspect(connection).get_columns(REQUEST_LOGS.name)
    return {column["name"]: (str(column["type"]), column["nullable"]) for column in columns}


def replace_by_old_ledger(connection: Connection) -> None:
    METADATA.drop_all(connection)
    make_old_ledger(connection)


def test_ledger_of_schema_4_gets_the_columns_of_a_new_one(store_name: str, new_ledger: Callable[[str], str]) -> None:
    url = new_ledger(store_name)
    with open_database(url) as database:
        new = columns_of(database.engine)
        with database.engine.execution_options(**WRITES).begin() as connection:
            replace_by_old_ledger(connection)

    with open_database(url) as database:
        assert columns_of(database.engine) == new, "add a step to hero_broker/store/migrations.py"
        assert database.append([row()], []) == {}
    assert list(new) == list(REQUEST_LOGS.c.keys())
