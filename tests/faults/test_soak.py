"""A soak of a few seconds; `python -m tests.faults.soak` is the long one, whose memory says something."""

from pathlib import Path

import httpx

from tests.faults.provider_faults import PATIENCE_S, place
from tests.faults.soak import LONGER, Soak

SETTINGS = LONGER.replace("= 10\n", "= 4\n").replace("= 3\n", "= 2\n")  # faults for ever end sooner


def test_books_are_equal_after_mixed_calls_hang_ups_and_faults(tmp_path: Path, database_url: str) -> None:
    with place(tmp_path, database_url, SETTINGS) as where:
        with httpx.Client(timeout=PATIENCE_S) as client:
            soak = Soak(where, [client], seed=2)
            soak.run(2, 50)
        wrong = [*soak.wrong, *soak.differences()]

    assert wrong == []
    assert {"call", "hang-up", "fault", "slow reader"} <= soak.done.keys()
