"""Follows docs/how-to/generate-clients.md as its readers do, but that what it installs is there already."""

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.e2e_support import Broker
from tests.ecosystem.place import CLIENTS

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "generate-clients.md"
STEP = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a shell in a directory, and a broker that asks for a token."""

    directory: Path
    running: Broker
    token: str
    installed: Path

    def follow(self, heading: str, client: str) -> list[str]:
        """Do what stands under a heading, with a client's installation, and return what each step prints."""
        section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        steps = list(STEP.finditer(section))
        assert steps, heading
        return [self._do(step, client) for step in steps]

    def run(self, command: str, **environ: str) -> str:
        """Return what a shell's commands print; every one of them succeeds."""
        ended = subprocess.run(
            ["bash", "-euc", command],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "ADMIN_TOKEN": self.token,
                "BROKER_URL": self.running.url,
                **environ,
            },
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def _do(self, step: "re.Match[str]", client: str) -> str:
        text = step["text"].replace("33850", self.running.url.rpartition(":")[2])
        if step["kind"] != "sh":
            (self.directory / step["file"]).write_text(text)
            return ""
        if " install " in text:
            self._install(text, client)
            return ""
        return self.run(text)

    def _install(self, text: str, client: str) -> None:
        """Put a client's installation where the commands would, if they ask for what it has."""
        words = shlex.split(text.strip().splitlines()[-1])
        if words[0] == "npm":
            needed = json.loads((CLIENTS / client / "package.json").read_text())["dependencies"]
            wanted = [f"{name}@{versions}" for name, versions in needed.items()]
            place = "node_modules"
        else:
            wanted = (CLIENTS / client / "requirements.txt").read_text().split()
            place = words[0].removesuffix("/bin/pip")
        assert words[words.index("install") + 1 :] == wanted
        inside = self.installed / client
        (self.directory / place).symlink_to(inside / place if words[0] == "npm" else inside)
