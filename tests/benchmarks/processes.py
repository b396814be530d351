"""Processes that are measured: their CPU time and memory as the kernel counts them, a core of their own, pauses."""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
MEASURED_CORE, OTHER_CORE = CORES[0], CORES[-1]
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def started(module: str, *arguments: str, packages: Path | None = None) -> Iterator[tuple[int, int]]:
    """Run a module that prints the port it listens on, for the time of the block; yield its process id and port.

    `packages` stands in for the packages that are installed.
    """
    command = [sys.executable, *([] if packages is None else ["-S"]), "-m", module, *arguments]
    environ = None if packages is None else {**os.environ, "PYTHONPATH": str(packages)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def pin(pid: int, core: int) -> None:
    """Keep every thread of a process on one core; those that it starts later stay there too."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def packages_but(left_out: str, folder: Path) -> Path:
    """Fill `folder` with all that is installed but for one package, and return it."""
    for installed in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(installed).iterdir():
            if not path.name.startswith(left_out):
                (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stop a process for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process and its children have used so far: all threads that still run.

    It is the scheduler's own, in nanoseconds; `/proc/PID/stat` counts in ticks of 10 ms.
    """
    total_ns = 0
    for one in (pid, *_descendants(pid)):
        for thread in Path(f"/proc/{one}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def is_runnable(pid: int) -> bool:
    """Return whether a thread of a process runs, or waits for a core or for the disk."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            if (thread / "stat").read_text().rpartition(")")[2].split()[0] in "RD":
                return True
    return False


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found: list[int] = []
    parents = [pid]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += below
    return found


def rss_bytes(pid: int) -> int:
    """Return the memory of a process that is resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def forget_peak(pid: int) -> None:
    """Let `peak_rss_bytes` count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_bytes(pid: int) -> int:
    """Return the most memory of a process that was resident at any time since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
