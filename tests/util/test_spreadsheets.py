"""Cells of CSV files are safe for spreadsheets, and can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.util.spreadsheets import cell, text_of


@given(st.text(alphabet="'=+-@\t\ra ", max_size=6))
def test_cell_is_no_formula_and_can_be_read_back(text: str) -> None:
    written = cell(text)

    assert isinstance(written, str)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert text_of(written) == text


@pytest.mark.parametrize("text", ["", "office", "it's", "'quoted'", "a=b"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text_of(text) == text
