"""However a provider misbehaves, each call has one row, the books agree, and the client gets a correct error."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.limit_books import limit_differences
from tests.faults.misbehaviour import FAULTS, SILENT
from tests.faults.provider_faults import Place, Seen, books_differ, judged, place, run

# These wait for a time-out; they are begun together.
SLOW = [
    name
    for name, fault in FAULTS.items()
    if "after [DONE]" in name or "hangs" in name or any(expected.code == SILENT for expected in fault.expected.values())
]
Begun = Mapping[str, "Future[tuple[Seen, ...]]"]


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("provider")
    with place(folder, f"sqlite:///{folder}/ledger.db") as running:
        yield running


@pytest.fixture(scope="module")
def begun(shared_place: Place) -> Iterator[Begun]:
    with ThreadPoolExecutor(len(SLOW)) as pool:
        yield {name: pool.submit(run, shared_place, FAULTS[name], 1) for name in SLOW}


@pytest.mark.parametrize("name", FAULTS)
def test_books_and_client_are_right_after_a_fault_of_the_provider(shared_place: Place, begun: Begun, name: str) -> None:
    seen = begun[name].result() if name in begun else run(shared_place, FAULTS[name], 1)
    result = judged(FAULTS[name], seen, shared_place.rows(), shared_place.provider)

    assert result.wrong == ()


def test_rows_and_reports_agree_after_faults_of_the_provider(shared_place: Place, begun: Begun) -> None:
    for one in begun.values():
        one.result()
    for name in ("reset in the body", "usage missing", "half of an event", "error in the middle"):
        run(shared_place, FAULTS[name], 1, mark="again/")

    assert list(books_differ(shared_place, shared_place.rows())) == []
    assert limit_differences(shared_place.running, shared_place.database_url) == []
