"""Programs that use the client are type-checked: the package says that it is typed, and it is, all through."""

import subprocess
import sys
from pathlib import Path

import hero_broker

RIGHT = """
from hero_broker.client import AsyncClient, Client


async def ask(client: AsyncClient) -> str | None:
    report = await client.billing.usage(["ip"], bucket="day", filter={"model": "m"})
    return report.data[0].group["ip"]


with Client("http://127.0.0.1:33850") as client:
    spent: str = client.billing.usage_by_ip().totals.total_cost_nano_usd
    ip: str = client.billing.usage_for_ip("127.0.0.1").data.ip
"""
WRONG = RIGHT + "    label: int = client.billing.usage_by_ip().data[0].ip\n"


def checked(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Check a program that stands outside this repository, without this repository's settings."""
    path = folder / "program.py"
    path.write_text(program)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        str(folder / "cache"),
        str(path),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=200)


def test_package_says_that_it_is_typed() -> None:
    assert (Path(hero_broker.__file__).parent / "py.typed").read_bytes() == b""


def test_program_that_uses_the_client_is_checked_strictly(tmp_path: Path) -> None:
    right = checked(tmp_path, RIGHT)
    wrong = checked(tmp_path, WRONG)

    assert (right.returncode, right.stdout) == (0, "Success: no issues found in 1 source file\n")
    assert wrong.returncode == 1
    assert 'expression has type "str", variable has type "int"' in wrong.stdout
