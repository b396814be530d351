"""Settings that can hardly be meant are accepted with a warning."""

from pathlib import Path

import pytest

from hero_broker.settings import load


@pytest.mark.parametrize(
    ("server", "warned"),
    [
        ('trusted_proxies = ["10.0.0.1"]\ntrusted_header = "forwarded"', []),
        ('trusted_proxies = ["unix"]\nlisten = ["unix:/run/broker.sock"]\ntrusted_header = "x-real-ip"', []),
        ('trusted_header = "x-real-ip"', ["server.trusted_header is set, but server.trusted_proxies names no proxy"]),
        ('trusted_proxies = ["unix"]', ['server.trusted_proxies has "unix", but server.listen has no Unix socket']),
        (
            'trusted_proxies = ["0.0.0.0/0", "::/0"]',
            ["server.trusted_proxies has 0.0.0.0/0, so any caller can", "server.trusted_proxies has ::/0, so any"],
        ),
    ],
    ids=["address", "Unix socket", "header alone", "no Unix socket", "everybody"],
)
def test_proxies_that_cannot_be_meant_are_warned_of(tmp_path: Path, server: str, warned: list[str]) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[server]\n{server}\n")
    warnings = load(config=path, environ={"HERO_BROKER_STATE_DIR": str(tmp_path)}).warnings

    assert len(warnings) == len(warned)
    assert [text for text, begin in zip(warnings, warned, strict=True) if not text.startswith(begin)] == []
