"""A field of a row is named once, in `core.records`. Each place that must know it is compared with that list by name.

Whoever adds a field runs this test: it names the places that lack it. See docs/contributing/add-a-field.md.
"""

import ast
import csv
import inspect
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import inspect as inspect_database

from hero_broker.admin_plane import exports, views
from hero_broker.admin_plane.contract import load_document
from hero_broker.client import models
from hero_broker.core.local_time import iso_time
from hero_broker.core.records import ROW_FIELDS, LedgerRow, RequestLog, RowField, row_fields
from hero_broker.metering import billing_row
from hero_broker.store.engine import make_engine
from hero_broker.store.migrations import migrate
from hero_broker.store.schema import REQUEST_LOGS
from tests.store.old_ledgers import VERSIONS, make_old_ledger
from tests.store.test_columns import ROW

NAMES = tuple(field.name for field in ROW_FIELDS)
IN_NO_ANSWER = ("ip_key",)  # the same address as `ip`
IN_ANSWERS_BESIDES = ("seq", "label", "cost_usd", "time")
JSON_TYPES = {str: "string", int: "integer", bool: "boolean"}
DOCUMENTED = ("Request", "ExplainedRequest")  # schemas of openrpc.json


def schema_of(name: str) -> Mapping[str, Any]:
    """Return a schema with what it takes over from those that it refers to."""
    schemas = load_document()["components"]["schemas"]
    schema = schemas[name]
    members: dict[str, Any] = {"properties": {}, "required": []}
    for part in (*schema.get("allOf", ()), schema):
        own = schema_of(part["$ref"].rpartition("/")[2]) if "$ref" in part else part
        members["properties"].update(own.get("properties", {}))
        members["required"].extend(own.get("required", ()))
    return members


def names_in_billing_row() -> list[str]:
    """Return the names that `due_row` gives to `RequestLog`; one with a default could be forgotten there.

    That each value is the one of its position is what `tests/metering/test_billing_row.py` compares.
    """
    source = ast.parse(textwrap.dedent(inspect.getsource(billing_row.due_row)))
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    (call,) = (call for call in calls if ast.unparse(call.func) == RequestLog.__name__)
    return [*NAMES[: len(call.args)], *(keyword.arg or "**" for keyword in call.keywords)]


def columns_after_migration(folder: Path) -> list[str]:
    """Return the columns of a ledger of an earlier version that this program has migrated.

    Later ones are in the order of the steps, so that a field before those of a release, which its journals have by
    position, is misplaced.
    """
    url = f"sqlite:///{folder}/old.db"
    (folder / "old.db").unlink(missing_ok=True)
    make_old_ledger(url, VERSIONS[0])
    engine = make_engine(url)
    migrate(engine)
    with engine.connect() as connection:
        columns = inspect_database(connection).get_columns(REQUEST_LOGS.name)
    engine.dispose()
    return [column["name"] for column in columns if column["name"] != "seq"]


def answered(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in IN_ANSWERS_BESIDES]


# Written by hand: each place, the names that it has in its order, and whether answers show them.
PLACES: dict[str, tuple[Callable[[Path], Sequence[str]], bool]] = {
    "due_row in hero_broker/metering/billing_row.py": (lambda _: names_in_billing_row(), False),
    "an old ledger after hero_broker/store/migrations.py": (columns_after_migration, False),
    "Request in openrpc.json": (lambda _: answered(list(schema_of("Request")["properties"])), True),
    "ExplainedRequest in openrpc.json": (
        lambda _: [
            name
            for name in answered(list(schema_of("ExplainedRequest")["properties"]))
            if name not in ("cost", "period")
        ],
        True,
    ),
    "Request in hero_broker/client/models.py": (lambda _: answered(list(get_type_hints(models.Request))), True),
}


def faults(place: str, names: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Return what a place lacks, has besides, and has in another order than the row; one sentence for each."""
    lacking = [f"{place} lacks {name!r}" for name in fields if name not in names]
    unknown = [f"{place} has {name!r}, which is no field" for name in names if name not in fields]
    known, expected = [name for name in names if name in fields], [name for name in fields if name in names]
    misplaced = [
        f"{place} has {name!r} in the place of {field!r}"
        for name, field in zip(known, expected, strict=True)
        if name != field
    ]
    return lacking + unknown + misplaced


def faults_everywhere(fields: Sequence[str], folder: Path) -> list[str]:
    found = []
    for place, (names, is_answer) in PLACES.items():
        shown = [name for name in fields if not (is_answer and name in IN_NO_ANSWER)]
        found += faults(place, names(folder), shown)
    return found


def test_every_place_has_the_fields_of_a_row(tmp_path: Path) -> None:
    found = faults_everywhere(NAMES, tmp_path)

    assert not found, "\n".join(found)


def test_field_that_the_row_alone_has_is_missed_in_each_place_by_name(tmp_path: Path) -> None:
    found = faults_everywhere([*NAMES, "new_field"], tmp_path)

    assert [fault for fault in found if "new_field" in fault] == [f"{place} lacks 'new_field'" for place in PLACES]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        pytest.param(["ip", "attempts"], ["it lacks 'model'"], id="missing"),
        pytest.param(["ip", "model", "attempts", "retries"], ["it has 'retries', which is no field"], id="extra"),
        pytest.param(
            ["ip", "attempts", "model"],
            ["it has 'attempts' in the place of 'model'", "it has 'model' in the place of 'attempts'"],
            id="misplaced",
        ),
        pytest.param(["ip", "model", "attempts"], [], id="right"),
    ],
)
def test_fault_is_named(names: list[str], fault: list[str]) -> None:
    assert faults("it", names, ["ip", "model", "attempts"]) == fault


def test_what_is_made_of_the_fields_has_them_all() -> None:
    shown = [name for name in NAMES if name not in IN_NO_ANSWER]

    assert RequestLog.__struct_fields__ == NAMES
    assert [column.name for column in REQUEST_LOGS.c] == ["seq", *NAMES]
    assert answered(list(views.row(LedgerRow(1, ROW, None)))) == shown
    assert answered(exports.ROW_COLUMNS) == shown


def test_each_value_stands_under_its_name_in_json_and_csv() -> None:
    entry = LedgerRow(7, ROW, "a label")
    values = {name: getattr(ROW, name) for name in NAMES if name not in IN_NO_ANSWER}

    line = json.loads(exports.ndjson([views.row(entry)]))
    table = exports.csv_lines([exports.ROW_COLUMNS, exports.row_cells(entry, ZoneInfo("UTC"))])
    (cells,) = csv.DictReader(io.StringIO(table.decode()))

    assert line == {**values, "cost_nano_usd": "111", "cost_usd": 1.11e-7, "label": "a label", "seq": 7}
    assert cells == {
        **{name: str(int(value) if isinstance(value, bool) else value) for name, value in values.items()},
        "cost_usd": "0.000000111",
        "label": "a label",
        "seq": "7",
        "time": iso_time(ROW.started_at, ZoneInfo("UTC")),
    }


@pytest.mark.parametrize("field", ROW_FIELDS, ids=lambda field: field.name)
def test_field_has_a_description(field: RowField) -> None:
    assert field.description.endswith("."), "Annotated[…, Meta(description=…)] in hero_broker/core/records.py"


@pytest.mark.parametrize("schema", DOCUMENTED)
@pytest.mark.parametrize("field", [one for one in ROW_FIELDS if one.name not in IN_NO_ANSWER], ids=lambda one: one.name)
def test_document_has_the_description_and_type_of_a_field(field: RowField, schema: str) -> None:
    documented = schema_of(schema)
    member = documented["properties"].get(field.name, {})
    types = [one["type"] for one in member.get("oneOf", [member]) if "type" in one]
    is_text = issubclass(field.type, str) or field.name == "cost_nano_usd"  # digits: JSON's numbers may be rounded

    assert member.get("description") == field.description
    assert types == ["string" if is_text else JSON_TYPES[field.type], *["null"] * field.is_nullable]
    assert field.name in documented["required"]
    if issubclass(field.type, StrEnum):
        assert member["enum"] == [one.value for one in field.type]


def test_field_without_a_description_is_read() -> None:
    class Record(msgspec.Struct):
        plain: int
        other: str | None = None

    assert row_fields(Record) == (RowField("plain", int, False, ""), RowField("other", str, True, ""))
