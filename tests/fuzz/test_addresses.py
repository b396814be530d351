"""A short run of `python -m tests.fuzz.addresses`."""

import pytest

from tests.fuzz.addresses import Fuzzer


@pytest.mark.parametrize("seed", [1, 2])
def test_second_reader_reads_every_address_as_the_program_does(seed: int) -> None:
    fuzzer = Fuzzer(seed)

    fuzzer.run(cases=20_000)

    assert min(fuzzer.tried.values()) > 100
