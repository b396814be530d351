"""Every call of every client that may connect finds the descriptors that it needs."""

import subprocess
import sys

import pytest

from hero_broker.server.http1.fd_limits import RESERVED, max_connections


@pytest.mark.parametrize("max_calls", [1, 10, 1000, 100_000])
@pytest.mark.parametrize("max_drains", [0, 100, 10_000])
@pytest.mark.parametrize("open_files", [256, 1024, 20_000, 65_536])
def test_calls_need_no_more_than_there_are(open_files: int, max_calls: int, max_drains: int) -> None:
    most = max_connections(open_files, max_calls, max_drains)

    assert most >= 1
    if most > 1:
        assert RESERVED + max_drains + most + 2 * min(most, max_calls) <= open_files
    if most > max_calls:
        assert RESERVED + max_drains + most + 2 * max_calls == open_files


@pytest.mark.parametrize(("soft", "hard"), [(100, 300), (300, 300)])
def test_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int) -> None:
    told = "from hero_broker.server.http1.fd_limits import raise_nofile_limit as r; import resource as s"
    command = f"{told}; print(r(), *s.getrlimit(s.RLIMIT_NOFILE))"

    shell = f"ulimit -Sn {soft} && ulimit -Hn {hard} && exec {sys.executable} -c '{command}'"
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True, timeout=30)

    assert said.stdout.split() == ["300", "300", "300"]
