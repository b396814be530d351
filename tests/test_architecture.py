"""Imports point one way, and stand at the top of their files."""

import ast
from pathlib import Path

import hero_broker

ROOT = Path(hero_broker.__file__).parent

# What a folder may import, besides itself; in the order in which they stand on each other.
ALLOWED: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {
        "server",
        "kinds",
        "settings",
        "client",
        "telemetry",
        "dashboard",
        "admin_plane",
        "reports",
        "limits",
        "providers",
        "pricing",
        "store",
        "core",
        "util",
    },
    "server": {
        "settings",
        "data_plane",
        "kinds",
        "admin_plane",
        "edge",
        "limits",
        "reports",
        "metering",
        "ledger",
        "providers",
        "pricing",
        "store",
        "core",
        "util",
    },
    "settings": {"kinds", "limits", "core", "util"},
    "data_plane": {"edge", "limits", "metering", "ledger", "providers", "kinds", "core", "util"},
    "dashboard": {"reports", "core"},
    "admin_plane": {"core", "util"},
    "edge": {"core", "util"},
    "limits": {"core", "util"},
    "reports": {"limits", "metering", "pricing", "store", "core"},
    "metering": {"ledger", "kinds", "pricing", "core"},
    "ledger": {"store", "core", "util"},
    "providers": {"kinds", "pricing", "core", "util"},
    "kinds": {"pricing", "core"},
    "pricing": {"core", "util"},
    "store": {"core", "util"},
    "client": set(),
    "telemetry": set(),
    "core": set(),
    "util": set(),
}

# Imports that stand in a function, each with its reason.
LATE = {
    "cli/backend.py": "most commands ask a broker, and start in half the time without the database's libraries",
    "pricing/genai_data/reader.py": "genai-prices and pydantic take 12 MB, and the data file is read without them",
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hero_broker"):
            below = (node.module or "").split(".")[1:2]
            found.update(below or [alias.name for alias in node.names if alias.name != "__version__"])
    return found


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_import_points_the_allowed_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(ROOT.rglob("*.py"))
        if part_of(path) != "__init__"
        for name in imports_of(path) - {part_of(path)}
        if name not in ALLOWED[part_of(path)]
    ]

    assert wrong == []


def test_every_allowed_arrow_is_used() -> None:
    used = {part: set[str]() for part in ALLOWED}
    for path in ROOT.rglob("*.py"):
        if part_of(path) != "__init__":
            used[part_of(path)] |= imports_of(path) - {part_of(path)}

    assert used == ALLOWED


def test_allowed_arrows_have_no_cycle() -> None:
    left = {part: set(below) for part, below in ALLOWED.items()}

    while left:
        free = {part for part, below in left.items() if not below & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {part: below for part, below in left.items() if part not in free}


def test_imports_of_our_own_stand_at_the_top() -> None:
    late = {
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert late == LATE.keys()
