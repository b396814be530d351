"""`seq` grows in commit order: who reads by it while others write misses nothing."""

import threading

import pytest
from sqlalchemy import text

from hero_broker.store.database import open_database
from hero_broker.store.engine import make_engine
from tests.ledger.rows import row

WRITERS, BATCHES, ROWS = 4, 25, 3


@pytest.mark.slow
def test_no_row_appears_below_one_that_was_already_read(database_url: str) -> None:
    with open_database(database_url):
        pass
    read: list[str] = []
    done = threading.Event()

    def write() -> None:
        with open_database(database_url) as database:
            for _ in range(BATCHES):
                database.append([row() for _ in range(ROWS)], [])

    def follow() -> None:
        engine, last = make_engine(database_url), 0
        while True:
            is_last_look = done.is_set()
            with engine.connect() as connection:
                found = connection.execute(
                    text("SELECT seq, request_id FROM request_logs WHERE seq > :last ORDER BY seq"), {"last": last}
                ).all()
            if found:
                last = found[-1][0]
                read.extend(request_id for _, request_id in found)
            if is_last_look:
                engine.dispose()
                return

    follower = threading.Thread(target=follow)
    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in (follower, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    follower.join()

    assert len(read) == len(set(read)) == WRITERS * BATCHES * ROWS
