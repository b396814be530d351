"""The schemas of the document say the same thing alike.

A schema that extends another one repeats its members: `allOf` would say them once, but the generators of clients leave
out the members that it refers to.
"""

from typing import Any

import pytest

from hero_broker.admin_plane.contract import load_document

SCHEMAS = load_document()["components"]["schemas"]
# Schemas that another one extends by its names, but whose members mean something else.
OTHERS = {
    ("Unbilled", "Period"),  # an open range of positions, and a closed one
    ("LimitSubjectValues", "Filter"),  # where null is a value, and where it counts as absent
}


def names(schema: str) -> set[str]:
    return set(SCHEMAS[schema]["properties"])


EXTENDED = [
    (smaller, larger)
    for smaller in SCHEMAS
    for larger in SCHEMAS
    if names(smaller) < names(larger) and "data" not in names(smaller) and (smaller, larger) not in OTHERS
]


@pytest.mark.parametrize(("smaller", "larger"), EXTENDED)
def test_schema_that_extends_another_repeats_its_members(smaller: str, larger: str) -> None:
    members: dict[str, Any] = SCHEMAS[larger]["properties"]
    required = SCHEMAS[larger]["required"]

    assert {name: members[name] for name in SCHEMAS[smaller]["properties"]} == SCHEMAS[smaller]["properties"]
    assert [name for name in required if name in names(smaller)] == SCHEMAS[smaller]["required"]


def test_rows_and_totals_are_extended() -> None:
    assert {("Request", "ExplainedRequest"), ("BilledTotals", "UsageTotals"), ("UsageTotals", "IpUsage")} <= set(
        EXTENDED
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_described(name: str) -> None:
    assert SCHEMAS[name]["description"].endswith(".")
