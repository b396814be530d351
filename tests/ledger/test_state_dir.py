"""A state directory belongs to one broker, and to one user."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hero_broker.core.errors import StateDirInUse, StateDirUnusable
from hero_broker.ledger.state_dir import own_state_dir
from hero_broker.util.private_files import make_directory, make_file


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    state = tmp_path / "a" / "b" / "state"

    with own_state_dir(state):
        made = [state.parent.parent, state.parent, state]
        modes = {mode_of(path) for path in made}
        lock = mode_of(state / "lock")

    assert modes == {0o700}
    assert lock == 0o600


@pytest.mark.usefixtures("umask")
def test_file_is_made_for_its_owner_alone_and_what_is_there_is_left(tmp_path: Path) -> None:
    make_directory(tmp_path)
    path = tmp_path / "file"
    make_file(path)
    path.write_text("something")
    make_file(path)

    assert (mode_of(path), path.read_text()) == (0o600, "something")


def test_second_owner_is_refused(tmp_path: Path) -> None:
    with own_state_dir(tmp_path), pytest.raises(StateDirInUse), own_state_dir(tmp_path):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_directory_in_which_everybody_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    with pytest.raises(StateDirUnusable, match=f"mode {mode:04o}"), own_state_dir(tmp_path):
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "warnings"), [(0o770, 1), (0o755, 0), (0o700, 0)])
def test_directory_in_which_its_group_may_write_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
) -> None:
    tmp_path.chmod(mode)

    with caplog.at_level(logging.WARNING), own_state_dir(tmp_path):
        assert len(caplog.records) == warnings


def test_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "somebody's"
    (tmp_path / "lock").symlink_to(target)

    with pytest.raises(StateDirUnusable), own_state_dir(tmp_path):
        pass

    assert not target.exists()


def test_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateDirUnusable, match="cannot be used"), own_state_dir(tmp_path / "file" / "state"):
        pass
