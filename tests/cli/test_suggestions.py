"""A misspelled model or provider of `--where` is answered with the nearest names of the ledger."""

from collections.abc import Sequence

import pytest

from tests.cli.conftest import Place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["usage", "--where", "model=fake-cht"], ["The ledger has no model of this name; did you mean fake-chat?"]),
        (
            ["usage", "--since", "7d", "--where", "provider=fak"],
            ["The ledger has no provider of this name; did you mean fake?"],
        ),
        (["requests", "--where", "model=other"], ["The ledger has no model of this name."]),
        (["requests", "--where", "model=fake-chat", "--until", "2001-01-01"], []),
        (["usage", "--where", "ip=192.0.2.77"], []),
        (["usage", "--where", "model=fake-chat"], []),
    ],
)
@pytest.mark.parametrize("offline", [False, True])
def test_nearest_names_of_the_ledger_are_suggested(
    place: Place, arguments: Sequence[str], said: list[str], offline: bool
) -> None:
    ended = place.run(*arguments, *(["--database", place.database] if offline else []))

    assert ended.exit_code == 0
    assert [line for line in ended.stderr.splitlines() if not line.startswith("reading ")] == said
