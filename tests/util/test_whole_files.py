"""Files are written whole or not at all."""

import errno
from pathlib import Path

import pytest

from hero_broker.util.whole_files import write_whole


def test_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"

    write_whole(path, b"first, and longer")
    write_whole(path, b"second")

    assert path.read_bytes() == b"second"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"first")
    link.symlink_to(file)

    write_whole(link, b"second")

    assert link.is_symlink()
    assert file.read_bytes() == b"second"


def test_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)

    write_whole(path, b"content")

    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("place", ["/dev/null", "."])
def test_what_is_no_regular_file_is_not_replaced(place: str) -> None:
    with pytest.raises(OSError, match="not a regular file") as caught:
        write_whole(Path(place), b"content")

    assert caught.value.errno == errno.EINVAL
    assert not Path(place).is_file()


def test_nothing_is_left_if_a_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 256)

    with pytest.raises(OSError, match="too long"):
        write_whole(path, b"content")

    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "file", b"content")
