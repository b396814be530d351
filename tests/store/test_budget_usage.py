"""What calls used, by everything that a budget may match or count by; on both stores."""

from sqlalchemy import ColumnElement, and_

from hero_broker.store.budget_usage import GroupUsage, recorded, usage_by_group
from hero_broker.store.database import open_database
from hero_broker.store.schema import REQUEST_LOGS
from tests.ledger.rows import row


def began_in(since: int, until: int) -> ColumnElement[bool]:
    return and_(REQUEST_LOGS.c.started_at >= since, REQUEST_LOGS.c.started_at < until)


def test_rows_of_a_window_are_summed_by_group(database_url: str) -> None:
    rows = [
        row(started_at=99),
        row(started_at=100, context="a"),
        row(started_at=150, context="b", cost_nano_usd=None, input_tokens=None),
        row(started_at=199, kind="tts", output_tokens=None),
        row(started_at=200),
    ]
    with open_database(database_url) as database:
        database.append(rows, [])
        with database.reading() as connection:
            together = sorted(usage_by_group(connection, began_in(100, 200), by_context=False))
            apart = sorted(usage_by_group(connection, began_in(100, 200), by_context=True), key=str)
            none = list(usage_by_group(connection, began_in(300, 400), by_context=False))

    key = ("127.0.0.1", None, "llama-3.3-70b", "groq")
    assert together == [GroupUsage(*key, "chat", 2, 40, 6, 25_970), GroupUsage(*key, "tts", 1, 40, 0, 25_970)]
    assert [(one.context, one.kind, one.requests) for one in apart] == [
        ("a", "chat", 1),
        ("b", "chat", 1),
        (None, "tts", 1),
    ]
    assert none == []


def test_ids_that_have_a_row_are_found(database_url: str) -> None:
    rows = [row() for _ in range(1001)]
    with open_database(database_url) as database:
        database.append(rows[:1000], [])
        with database.reading() as connection:
            found = recorded(connection, {one.request_id for one in rows})
            nothing = recorded(connection, set())

    assert found == {one.request_id for one in rows[:1000]}
    assert nothing == set()
