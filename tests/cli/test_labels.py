"""Labels are exported to a file and imported from one, all or none."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hero_broker.cli import cli
from tests.cli.conftest import Place

FILE = "target,label\r\n10.77.0.0/24,Research\r\n10.77.0.11,Design\r\nunknown,'=1+1\r\n"


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_imported_file_is_what_is_exported_and_changes_nothing_again(fresh: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "departments.csv", FILE)

    first, again = fresh.out("labels", "import", file), fresh.out("labels", "import", file)
    exported = fresh.run("labels", "export").stdout_bytes.decode()
    offline = fresh.run("labels", "export", "--database", fresh.database).stdout_bytes.decode()

    assert first.splitlines() == [
        "10.77.0.0/24 is Research",
        "10.77.0.11 is Design",
        "unknown is =1+1",
        "3 added, 0 changed, 0 unchanged",
    ]
    assert again == "0 added, 0 changed, 3 unchanged\n"
    assert exported == offline == FILE


def test_import_says_what_it_changed_and_leaves_other_labels(fresh: Place, tmp_path: Path) -> None:
    fresh.out("labels", "import", write(tmp_path / "first.csv", FILE))

    said = fresh.out("labels", "import", write(tmp_path / "second.csv", "10.77.0.11;Sales\n10.77.0.0/24;Research\n"))

    assert said.splitlines() == ["10.77.0.11 is Sales, no longer Design", "0 added, 1 changed, 1 unchanged"]
    assert "unknown,'=1+1" in fresh.out("labels", "export")


def test_file_may_be_the_standard_input(fresh: Place) -> None:
    environ = {"HERO_BROKER_URL": fresh.broker.url}
    ended = CliRunner().invoke(cli, ["labels", "import", "-"], input="\ufeff10.77.0.11,Büro\n", env=environ)

    assert (ended.exit_code, ended.stdout) == (0, "10.77.0.11 is Büro\n1 added, 0 changed, 0 unchanged\n")


def test_json_of_labels_is_the_answer_as_it_came(fresh: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "departments.csv", FILE)

    changes = json.loads(fresh.out("labels", "import", file, "--json"))["data"]
    found = json.loads(fresh.out("labels", "get", "10.77.0.12", "--json"))["data"]
    listed, exported = (json.loads(fresh.out("labels", name, "--json"))["data"] for name in ("list", "export"))

    assert [one["target"] for one in changes["added"]] == ["10.77.0.0/24", "10.77.0.11", "unknown"]
    assert (found["target"], found["label"]) == ("10.77.0.0/24", "Research")
    assert listed == exported == changes["added"]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("10.77.0.11,Design\n10.77.0.1/24,a\n10.77.0.12\n", ["line 2: target '10.77.0.1/24' must", "line 3: must be"]),
        ("10.77.0.11,Design\n10.77.0.12,B\xfcro\n".encode("latin-1"), ["line 2: must be UTF-8"]),
        ("", ["line 1: must be a target"]),
    ],
    ids=["lines", "encoding", "empty"],
)
def test_file_with_faults_is_refused_whole_with_2(
    fresh: Place, tmp_path: Path, content: str | bytes, faults: list[str]
) -> None:
    file = write(tmp_path / "departments.csv", content)

    ended = fresh.run("labels", "import", file)

    said = ended.stderr.splitlines()
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert len(said) == len(faults) + 1
    assert all(line.startswith(f"{file}: {fault}") for line, fault in zip(said, faults, strict=False))
    assert said[-1] == "No label was set."
    assert fresh.out("labels", "export").splitlines() == ["target,label"]


def test_file_that_cannot_be_read_is_named_with_2(fresh: Place, tmp_path: Path) -> None:
    ended = fresh.run("labels", "import", str(tmp_path / "missing.csv"))

    assert ended.exit_code == 2
    assert ended.stderr == f"{tmp_path}/missing.csv cannot be read: No such file or directory\n"
