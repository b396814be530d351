"""The FOCUS file of calls of all kinds has no fault that the specification's validator finds."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from hero_broker.cli.demo_traffic import DemoCaller, call_all
from tests.e2e_support import broker
from tests.ecosystem.place import INSTALLED

INSTALLATION = Path(os.environ[INSTALLED]) / "focus"
NEWEST = "1.0"  # of the versions of FOCUS that it has rules for
# Columns that the validator's rules misspell: this version of the specification has none of these names.
MISSPELT = {
    "Provider": "ProviderName",
    "Publisher": "PublisherName",
    "InvoiceIssuer": "InvoiceIssuerName",
    "ResourceID": "ResourceId",
    "ChargeType": "ChargeCategory",
}


@pytest.fixture(scope="module")
def focus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a broker that two addresses have called, one of them with a label."""
    folder = tmp_path_factory.mktemp("focus")
    who = [DemoCaller(address, None, address) for address in ("127.0.0.1", "127.0.0.2")]
    with broker(folder / "state") as running:
        assert len(list(call_all({socket.AF_INET: running.url}, who))) == len(who)
        label = {"label": "Größe, A"}
        httpx.put(f"{running.url}/admin/labels", params={"target": "127.0.0.2"}, json=label).raise_for_status()
        running.usage()
        answer = httpx.get(f"{running.url}/billing/focus", headers={"accept": "text/csv"}).raise_for_status()
    path = folder / "focus.csv"
    path.write_bytes(answer.content)
    return path


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator's rules, with the names of the specification."""
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(packages() / "focus_validator" / "rules" / "version_sets" / NEWEST, folder / NEWEST)
    for path in (folder / NEWEST).iterdir():
        names = re.compile(rf"\b({'|'.join(MISSPELT)})\b")
        path.write_text(names.sub(lambda name: MISSPELT[name[0]], path.read_text()))
    return folder


def packages() -> Path:
    (folder,) = INSTALLATION.glob("lib/python*/site-packages")
    return folder


def validate(path: Path, *options: str) -> str:
    """Return what the validator prints; it finds its list of currencies in the working directory alone."""
    command = [str(INSTALLATION / "bin" / "focus-validator"), "--data-file", str(path), *options]
    ended = subprocess.run(command, cwd=packages(), capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout


def test_validator_has_nothing_to_say(focus_file: Path, rules: Path) -> None:
    assert focus_file.read_text().count("\n") > 10
    assert (
        validate(focus_file, "--validate-version", NEWEST, "--rule-set-path", str(rules)) == "Validation succeeded.\n"
    )


def test_validator_names_a_column_that_is_wrong(focus_file: Path, rules: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text(focus_file.read_text().replace(",Usage-Based,", ",Usage,"))
    printed = validate(tmp_path / "wrong.csv", "--validate-version", NEWEST, "--rule-set-path", str(rules))

    assert re.findall(r"(\w+) failed:", printed) == ["ChargeFrequency_Enum"]


def test_validator_has_no_rules_of_a_later_version(focus_file: Path) -> None:
    assert validate(focus_file, "--supported-versions").split() == ["0.5", "1.0", "1.0-preview"]
