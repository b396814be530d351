"""The reference says what the program is."""

from types import ModuleType

import pytest

from tests.reference import commands, errors, methods


@pytest.mark.parametrize("module", [commands, errors, methods], ids=["commands", "errors", "methods"])
def test_page_is_what_the_program_is(module: ModuleType) -> None:
    assert module.PAGE.read_text() == module.page(), f"write it anew: python -m {module.__name__}"
