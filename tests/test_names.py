"""Names: one class, one name; and names that were given up stay given up."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hero_broker

ROOT = Path(hero_broker.__file__).parent

# Classes that share their name with another one, and why.
MIRRORS = {
    "client/models.py": "the typed client's models have the names of the contract's schemas",
    "providers/fake": "the fake provider stands for a program of somebody else, and knows nothing of the broker's",
}

# Modules and definitions that were renamed: they read as something else, or had a second meaning.
GIVEN_UP_MODULES = [
    "dispatch",
    "served",
    "core/served",
    "offline",
    "preview",
    "signals",
    "openapi",
    "app",
    "server",
    "demo",
    "listeners",
    "admin_plane/described",
    "data_plane/described",
    "data_plane/passage",
    "data_plane/arrival",
    "data_plane/answers",
    "data_plane/bodies",
    "data_plane/routes",
    "connections/heads",
    "connections/open_connections",
    "connections/descriptors",
    "connections/protocol",
    "providers/standings",
    "providers/routing",
    "edge/clients",
    "edge/requests",
    "edge/client_ip",
    "core/private",
    "core/waiting",
    "core/questions",
    "core/spreadsheets",
    "admin_plane/asked",
    "admin_plane/shown",
    "metering/books",
    "metering/rules",
    "metering/rows",
    "metering/reader",
    "metering/request_text",
    "metering/reports",
    "metering/labels",
    "metering/explain",
    "metering/calendar",
    "metering/journal",
    "metering/ledger",
    "metering/state_dir",
    "metering/health",
    "pricing/listed",
    "store/deadline",
    "store/listing",
    "store/blocks",
    "store/copying",
    "store/periods",
    "settings/faults",
    "settings/forms",
    "settings/table",
    "client/answers",
    "client/questions",
    "client/wire",
    "cli/asking",
    "cli/serving",
    "cli/bills",
    "cli/exits",
    "cli/books",
]
GIVEN_UP_NAMES = [
    "Routing",
    "Served",
    "ServedModel",
    "ServedProvider",
    "Offline",
    "Stop",
    "caught",
    "hang_up",
    "Described",
    "Passage",
    "Arrival",
    "head_of",
    "without_keys",
    "Head",
    "Limits",
    "Rules",
    "_Ending",
    "_beginning",
    "_making",
    "_fail",
    "hand_on",
    "go_on",
    "_Handing",
    "_Open",
    "_Target",
    "Standings",
    "OpenConnections",
    "overdue",
    "most_connections",
    "raise_open_files",
    "ENOUGH_OPEN_FILES",
    "Edge",
    "protocol_of",
    "row_of",
    "note_of",
    "zone_of",
    "of_page",
    "within",
    "UsageQuestion",
    "RowsQuestion",
    "Question",
    "IpUsageShown",
    "ModelUsageShown",
    "UsageGroupShown",
    "Twin",
    "TWINS",
    "Members",
    "Asked",
    "Refused",
    "speech_made",
    "speech_heard",
    "first_estimate",
    "Made",
    "Note",
    "DueRow",
    "_step_back",
    "LISTED_AS",
    "doubts",
    "limited",
    "STEP",
    "FEW",
    "AtMost",
    "JsonLines",
    "Blocking",
    "Waiting",
    "ask",
    "ask_all",
    "UnknownAnswer",
    "Asker",
    "Period",
    "PASSED_HEADERS",
    "MAX_HEADER",
    "filter_of",
    "position_of",
    "params_of",
    "address_of",
    "routes_of",
    "catalogue_of",
    "price_of",
    "tariff_of",
    "encoding_of",
    "_warning_lines",
]
# Where one of these names is right.
KEPT = {
    ("Period", "core/records.py"): "a billing period, the ledger's own record",
    ("Period", "client/models.py"): "its mirror in the contract",
    ("ask", "client/clients.py"): "an alias for a release",
    ("ask_all", "client/clients.py"): "an alias for a release",
}


def definitions() -> Iterator[tuple[str, str, ast.AST]]:
    """Yield the file, the name and the node of each class, function and constant."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(ROOT)), node.name, node
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        yield str(path.relative_to(ROOT)), target.id, node


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path, name, node in definitions():
        if isinstance(node, ast.ClassDef) and not path.startswith(tuple(MIRRORS)):
            places[name].append(path)

    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_modules_that_were_renamed_are_not_back() -> None:
    assert [module for module in GIVEN_UP_MODULES if (ROOT / f"{module}.py").exists()] == []


def test_names_that_were_given_up_are_not_back() -> None:
    given_up = set(GIVEN_UP_NAMES)

    back = [(name, path) for path, name, _ in definitions() if name in given_up and (name, path) not in KEPT]

    assert back == []
