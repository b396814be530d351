"""A soak of a few seconds; `python -m tests.faults.soak` is the long one, whose memory says something."""

from pathlib import Path

import httpx

from tests.faults.provider_faults import PATIENCE_S, place
from tests.faults.soak import LONGER, Soak


def test_books_are_equal_after_mixed_calls_hang_ups_and_faults(tmp_path: Path, database_url: str) -> None:
    with place(tmp_path, database_url, LONGER) as where:
        with httpx.Client(timeout=PATIENCE_S) as client:
            soak = Soak(where, [client], seed=2)
            soak.run(3, 40)
        wrong = [*soak.wrong, *soak.differences()]

    assert wrong == []
    assert {"call", "hang-up", "fault", "slow reader"} <= soak.done.keys()
