"""The example is accepted, with its settings switched off and on, and shows every key with its default."""

import re
from dataclasses import asdict, replace
from pathlib import Path

from hero_broker.settings import Settings, load

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "hero-broker.toml"
KEYS = {"OPENAI_API_KEY": "sk-1234567890", "GROQ_API_KEY": "gsk-1234567890", "ADMIN_TOKEN": "token"}
SECTION = re.compile(r"^## `\[+([\w.]+)\]+`\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
SWITCHED_OFF = re.compile(r'^#(?=\w+ = |\d+ \w+ Street,|\S+@example.org""")', re.MULTILINE)
SETTING = re.compile(r"^#?(?:\[+([\w.]+)\]+|(\w+) = )", re.MULTILINE)
NO_DEFAULTS = ("allowed_clients", "allowed_origins", "trusted_proxies", "trust_unix")  # shown by an example


def load_text(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return load(config=path, environ={**KEYS, "HERO_BROKER_STATE_DIR": str(path.parent)})


def test_example_is_accepted_and_leaves_the_defaults(tmp_path: Path) -> None:
    settings, empty = load_text(tmp_path / "example.toml", EXAMPLE.read_text()), load_text(tmp_path / "empty.toml", "")

    assert [provider.name for provider in settings.providers] == ["openai", "groq", "local"]
    assert [model.kind for model in settings.models] == ["chat", "tts", "stt", "rerank", "chat"]
    assert (settings.server, settings.upstream, settings.billing) == (empty.server, empty.upstream, empty.billing)
    assert settings.statements == empty.statements


def test_settings_that_are_switched_off_are_accepted_and_show_the_defaults(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    settings, empty = (
        load_text(tmp_path / "on.toml", SWITCHED_OFF.sub("", text)),
        load_text(tmp_path / "empty.toml", ""),
    )
    shown, defaults = asdict(settings.server), asdict(empty.server)

    assert {name for name in shown if shown[name] != defaults[name]} == set(NO_DEFAULTS)
    assert settings.billing.price_list == Path("/etc/hero-broker/data.json")
    assert (settings.upstream, replace(settings.billing, price_list=None)) == (empty.upstream, empty.billing)
    assert settings.database_url == empty.database_url
    assert settings.default_models == empty.default_models
    assert settings.statements.contact == "1 Example Street, 8000 Example\nbilling@example.org"


def test_example_shows_every_key_of_the_page_of_settings() -> None:
    shown: dict[str, set[str]] = {}
    section = ""
    for table, key in SETTING.findall(EXAMPLE.read_text()):
        section = table or section
        shown.setdefault(section, set()).update({key} - {""})
    documented = {
        table: set(ROW.findall(rows)) - {"price"}
        for table, rows in SECTION.findall((DOCS / "reference" / "settings.md").read_text())
    }

    assert documented.keys() == shown.keys()
    assert {table: keys - shown[table] for table, keys in documented.items() if keys - shown[table]} == {}
