"""Files that an operator names are read within a size and a time, whatever they are."""

import errno
import os
import threading
from pathlib import Path

import pytest

from hero_broker.util.small_files import read_small_text


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_file_within_the_size_is_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_text("\ufeff" + "a" * (size - 3) if size >= 3 else "a" * size, encoding="utf-8")

    assert read_small_text(path, 100) == "a" * (size - 3 if size >= 3 else size)


@pytest.mark.parametrize("name", ["sparse", "/dev/zero", "/dev/urandom"])
def test_file_beyond_the_size_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "sparse":
        with path.open("wb") as file:
            file.truncate(2**40)

    with pytest.raises(OSError, match="longer than 100 bytes") as caught:
        read_small_text(path, 100)

    assert caught.value.errno == errno.EFBIG


def test_null_device_is_empty() -> None:
    assert read_small_text(Path("/dev/null"), 100) == ""


@pytest.mark.parametrize("has_writer", [False, True])
def test_pipe_that_does_not_end_is_given_up(tmp_path: Path, has_writer: bool) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR) if has_writer else None
    try:
        if writer is not None:
            os.write(writer, b"a")
        with pytest.raises(TimeoutError, match="has not ended"):
            read_small_text(path, 100, within_s=0.05)
    finally:
        if writer is not None:
            os.close(writer)


def test_pipe_is_read_to_its_end_also_if_its_writer_comes_late(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_text, args=("a" * 100_000,))
    writing.start()
    try:
        text = read_small_text(path, 100_000)
    finally:
        writing.join(20)

    assert text == "a" * 100_000


def test_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_small_text(tmp_path, 100)
