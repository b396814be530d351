"""JSON with too many values is recognised without decoding it."""

import pytest

from hero_broker.kinds.wide_json import _STEP, MAX_VALUES, is_wide


@pytest.mark.parametrize(
    ("body", "is_so"),
    [
        pytest.param(b"", False, id="empty"),
        pytest.param(b"," * MAX_VALUES, False, id="as many as are decoded"),
        pytest.param(b"," * (MAX_VALUES + 1), True, id="one more"),
        pytest.param(b"[" * (MAX_VALUES + 1), True, id="arrays"),
        pytest.param(b"{" * (MAX_VALUES + 1), True, id="objects"),
        pytest.param(b'"' + b"x" * 10 * MAX_VALUES + b'"', False, id="one long text"),
        pytest.param(b"x" * (_STEP - 1) + b"," * (MAX_VALUES + 1), True, id="across a step"),
        pytest.param(b" " * (3 * _STEP) + b"," * (MAX_VALUES + 1), True, id="behind some steps"),
    ],
)
def test_marks_of_values_are_counted(body: bytes, is_so: bool) -> None:
    assert is_wide(body) is is_so
