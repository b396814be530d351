"""The texts of the admin plane in OpenAPI are plain English, and name what a client can act on."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.openapi_routes import SCHEMAS, operations

OPERATIONS = {f"{verb} {path}": operation for path, verb, operation in operations(load_document())}
NOT_PLAIN = re.compile(r"\b(told|tells|anew|asks|asked|whoever|none that|stands? (?:in|flat)|twin|is another)\b", re.I)


def texts(value: Any) -> Iterator[str]:
    """Yield the summaries and descriptions inside a value."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in ("summary", "description") and isinstance(member, str):
                yield member
            else:
                yield from texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_texts_of_an_operation_are_plain_sentences(operation: dict[str, Any]) -> None:
    found = list(texts(operation))

    assert found
    assert [text for text in found if NOT_PLAIN.search(text)] == []
    for response in operation["responses"].values():
        assert re.match(r"[A-Z]", response["description"])
        assert response["description"].endswith(".")
        assert not re.search(r"\. Or |^Or |\.\.", response["description"])


def test_texts_of_the_schemas_are_plain_sentences() -> None:
    assert [text for text in texts(dict(SCHEMAS)) if NOT_PLAIN.search(text)] == []
