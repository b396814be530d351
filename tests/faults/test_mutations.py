"""Each mutation of the program can be applied: the text that it changes occurs once."""

import pytest

from tests.faults.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_text_of_a_mutation_occurs_once(mutation: Mutation) -> None:
    text = (ROOT / "hero_broker" / mutation.module).read_text()

    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
