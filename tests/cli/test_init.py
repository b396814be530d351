"""`hero-broker init`: a settings file without a key, that a broker accepts, and that is never overwritten."""

import os
import re
from pathlib import Path

import pytest

from hero_broker.settings import load
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from tests import forked

SWITCHED_OFF = re.compile(r"^#(?=\w+ = |\[)", re.MULTILINE)
SECRET = "sk-secret-0123456789"


def environ_with(folder: Path, **variables: str) -> dict[str, str]:
    known = {known.variable for known in KNOWN_PROVIDERS} | {known.plural for known in KNOWN_PROVIDERS}
    other = {
        name: value
        for name, value in os.environ.items()
        if name not in known and not name.startswith(("HERO_", "ADMIN_TOKEN"))
    }
    return {**other, "HERO_BROKER_STATE_DIR": str(folder / "state"), **variables}


def test_file_names_the_variables_and_has_no_key(tmp_path: Path) -> None:
    keys = {"OPENAI_API_KEY": SECRET, "GROQ_API_KEYS": f"{SECRET}1,{SECRET}2", "MISTRAL_API_KEY": f"{SECRET}3"}
    environ = environ_with(tmp_path, **keys)
    ended = forked.run(["init"], environ, tmp_path)
    path = tmp_path / "hero-broker.toml"
    settings = load(config=path, environ=environ)
    checked = forked.run(["check-config"], environ, tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"Wrote {path}, with the providers openai, groq, mistral." in ended.stdout
    assert SECRET not in path.read_text() + ended.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert settings.warnings == ()
    assert settings.providers == load(config=None, environ=environ).providers
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "provider  groq at https://api.groq.com/openai/v1, 2 keys" in checked.stdout


def test_what_is_to_do_next_is_printed(tmp_path: Path) -> None:
    ended = forked.run(["init", "new/my broker"], environ_with(tmp_path, HERO_BROKER_CONFIG="other.toml"), tmp_path)
    lines = ended.stdout.splitlines()

    assert lines[0] == f"Wrote {tmp_path}/new/my broker/hero-broker.toml, with no provider."
    assert "Set a provider's key, such as OPENAI_API_KEY" in lines[1]
    assert "Set ADMIN_TOKEN" in lines[2]
    assert "HERO_BROKER_CONFIG is set" in lines[3]
    assert lines[5] == f"  cd '{tmp_path}/new/my broker'"
    assert [line.split("  ")[1] for line in lines[6:]] == [
        "hero-broker check-config",
        "hero-broker serve",
        "hero-broker doctor --model MODEL",
    ]


def test_file_without_providers_leaves_them_to_the_environment(tmp_path: Path) -> None:
    forked.run(["init"], environ_with(tmp_path), tmp_path)
    path = tmp_path / "hero-broker.toml"
    settings = load(config=path, environ=environ_with(tmp_path, OPENAI_API_KEY=SECRET))
    path.write_text(SWITCHED_OFF.sub("", path.read_text()))
    switched_on = load(config=path, environ=environ_with(tmp_path, OPENAI_API_KEY=SECRET))

    assert [provider.name for provider in settings.providers] == ["openai"]
    assert switched_on.providers == settings.providers
    assert [model.name for model in switched_on.models] == ["my-model"]


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link to nothing"])
def test_existing_file_is_left_as_it_is(tmp_path: Path, is_link: bool) -> None:
    path = tmp_path / "hero-broker.toml"
    if is_link:
        path.symlink_to(tmp_path / "elsewhere.toml")
    else:
        path.write_text("# mine\n")
    ended = forked.run(["init"], environ_with(tmp_path), tmp_path)

    assert ended.returncode == 1
    assert ended.stderr == f"{path} exists, and is left as it is. Rename it, or name another folder.\n"
    assert not (tmp_path / "elsewhere.toml").exists()
    assert is_link or path.read_text() == "# mine\n"


def test_folder_that_cannot_be_made_is_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = forked.run(["init", "file/folder"], environ_with(tmp_path), tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"{tmp_path}/file/folder/hero-broker.toml cannot be written: Not a directory\n"
