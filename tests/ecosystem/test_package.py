"""The wheel is whole, has nothing else, and runs where the source tree is not."""

import json
import os
import subprocess
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.ecosystem.place import INSTALLED

TREE = Path(__file__).parent.parent.parent


@pytest.fixture
def wheel() -> ZipFile:
    """The wheel that `tests/ecosystem/run` built."""
    (path,) = (Path(os.environ[INSTALLED]) / "wheel").glob("hero_broker-*.whl")
    return ZipFile(path)


def run(directory: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of the environment that has the wheel alone, in a directory."""
    program, *arguments = command
    binaries = Path(os.environ[INSTALLED]) / "package" / "bin"
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    return subprocess.run(
        [str(binaries / program), *arguments], env=environ, cwd=directory, capture_output=True, text=True, timeout=60
    )


def test_wheel_has_every_file_of_the_package_and_none_of_the_tests(wheel: ZipFile) -> None:
    package = {str(path.relative_to(TREE)) for path in (TREE / "hero_broker").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name} | {"hero_broker/openrpc.json"}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed == package
    assert {"hero_broker/py.typed", "hero_broker/pricing/supplement.toml"} < packed
    assert wheel.read("hero_broker/openrpc.json") == (TREE / "openrpc.json").read_bytes()


def test_metadata_says_what_a_package_index_shows(wheel: ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())

    assert metadata["Name"] == "hero-broker"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload() == (TREE / "README.md").read_text()


def test_demo_runs_from_the_wheel_in_an_empty_directory_and_leaves_nothing(wheel: ZipFile, tmp_path: Path) -> None:
    ended = run(tmp_path, "hero-broker", "demo", "--port", "0", "--once")

    assert ended.returncode == 0, ended.stderr
    (total,) = [line for line in (TREE / "README.md").read_text().splitlines() if line.startswith("│ total")]
    assert ended.stdout.splitlines()[-1].split() == total.replace("│", " ").split()
    assert list(tmp_path.iterdir()) == []


def test_program_of_the_wheel_describes_itself_by_the_wheels_document(wheel: ZipFile, tmp_path: Path) -> None:
    code = (
        "import json; from hero_broker.admin_plane import contract;"
        "print(json.dumps([str(contract.PACKAGE), contract.load_document()]))"
    )

    package, document = json.loads(run(tmp_path, "python", "-c", code).stdout)

    assert package.startswith(f"{os.environ[INSTALLED]}/package/lib/")
    assert document == json.loads(wheel.read("hero_broker/openrpc.json"))
