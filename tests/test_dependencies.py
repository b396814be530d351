"""What the project depends on, at the least, has no weakness that is published and would matter here."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent

# The first versions without: a Host header that rewrites paths, forms without limits, smuggled chunks, responses split.
FIXED_IN = {
    "starlette": "1.3.1",
    "python-multipart": "0.0.26",
    "h11": "0.16.0",
    "httptools": "0.6.0",
    "uvicorn": "0.11.7",
}


def bounds() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {one.name: one for one in map(Requirement, project["dependencies"])}


@pytest.mark.parametrize("name", FIXED_IN)
def test_least_version_is_one_in_which_the_weakness_is_fixed(name: str) -> None:
    least = max(Version(one.version) for one in bounds()[name].specifier if one.operator == ">=")

    assert least >= Version(FIXED_IN[name])
    assert Version(version(name)) >= least


def test_every_dependency_has_a_least_version_and_none_is_fetched_from_an_address() -> None:
    assert [name for name, one in bounds().items() if ">=" not in str(one.specifier) or one.url] == []


def test_package_brings_no_file_that_runs_at_every_start_of_python() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert build == {"packages": ["hero_broker"], "force-include": {"openrpc.json": "hero_broker/openrpc.json"}}
    assert list((ROOT / "hero_broker").rglob("*.pth")) == []
