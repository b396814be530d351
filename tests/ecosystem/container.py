"""The container file, read and carried out below a directory, without a container.

`python -m tests.ecosystem.container DIRECTORY` carries out its COPY and RUN lines; `tests/ecosystem/run` does so.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).parent.parent.parent
FILE = TREE / "docs" / "examples" / "Containerfile"

_CONTINUED = re.compile(r"\\\n\s*")
_OWN_PATH = re.compile(r"(?<![\w.:/-])/(?=(?:etc|opt|src|var)\b)")  # not that of a URL


def lines() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the container file, and what follows it."""
    for line in _CONTINUED.sub("", FILE.read_text()).splitlines():
        if line and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            yield instruction, rest


def last(instruction: str) -> str:
    """Return what follows the last line of an instruction: the one that counts."""
    return [rest for name, rest in lines() if name == instruction][-1]


def below(directory: Path, text: str) -> str:
    """Return a text whose paths of the image lie below a directory."""
    return _OWN_PATH.sub(f"{directory}/", text)


def build(directory: Path) -> None:
    """Carry out all COPY and RUN lines, with both stages in one directory."""
    shutil.rmtree(directory, ignore_errors=True)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for instruction, rest in lines():
        if instruction == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            for source in sources:
                _copy(TREE / source, Path(below(directory, target)))
        elif instruction == "RUN":
            own = below(directory, rest)
            own = own.replace("--owner 10001", f"--owner {os.getuid()}").replace(
                "--group 10001", f"--group {os.getgid()}"
            )
            subprocess.run(["sh", "-ec", own], cwd="/", env=environ, check=True)


def _copy(source: Path, target: Path) -> None:
    """Copy as COPY does: a folder's contents, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
