"""The page of the architecture: the map of folders from their docstrings, the arrows from the test's own table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hero_broker
from tests.test_architecture import ALLOWED

PAGE = Path(__file__).parent.parent.parent / "docs" / "contributing" / "architecture.md"
ROOT = Path(hero_broker.__file__).parent

HEAD = """# Architecture

Hero Broker is one process: an ASGI application on an event loop, a writer thread that moves rows to the database, and a few threads that read reports.
[The path of a request](../explanation/path-of-a-request.md) has the details.

## How a call becomes a row

1. `server/http1/protocol.py` parses the request, and refuses one that two parsers could read differently.
2. `edge/middleware.py` gives it an id; `edge/source_ip.py` decides the address that is billed; `AllowedClients` (`edge/allowed_clients.py`) refuses addresses that may not call; `edge/origins.py` refuses web pages.
3. `AdminGate` (`edge/admin_auth.py`) asks for the admin token on admin paths, or in dev mode for a loopback `Host`.
4. `server/router.py` sends calls to the endpoint `DataPlane` (`data_plane/endpoint.py`), under their canonical path (`data_plane/path_spellings.py`), admin paths to `admin_plane/`.
5. `DataPlane` takes a slot within the limits by address (`Admission.enter` in `limits/admission.py`) and runs the early checks. It reads the body through its kind (`kinds/chat.py`, `kinds/embedding.py`, …; all are in `kinds/registry.py`), finds the route of the model (`Routes` in `providers/routes.py`), and makes a `ClientCall` (`data_plane/client_call.py`).
6. `Exchange.start` (`data_plane/exchange.py`) asks the checks (`data_plane/checks.py`), encodes the call for the first target of the route (`ClientCall.attempt`), lets all limits count it (`Admission.admit`), and notes it in the journal (`Ledger.begin`, `Journal.begin`).
7. `CallRun.run` (`data_plane/call_run.py`) sends the attempt through `providers/upstream/client.py`, and forwards the response to the client (`data_plane/relay.py`, `data_plane/event_stream.py`). `Meter` (`metering/meter.py`) meters it. Its tail is held back.
8. `Meter.close` makes the row (`metering/billing_row.py`, `pricing/cost.py`). `Ledger.offer` (`ledger/ledger.py`) appends it to the journal (`Journal.settle` in `ledger/journal.py`), budgets count it (`Slot.settle` in `limits/admission.py`), the observers see it (`data_plane/observers.py`), and only then does the tail leave (`Relay.finish`).
9. The writer thread of `ledger/ledger.py` moves rows to the database in batches (`store/request_logs.py`) and folds them into roll-ups (`store/rollups.py`).
10. A report only reads the database: `admin_plane/billing.py` → `reports/usage.py` → `store/usage.py` → one `GROUP BY`.

## The folders

"""
ARROWS = """
## What may import what

A module imports from its own folder, or from a folder to which an arrow leads. The picture is drawn from the table in `tests/test_architecture.py`.
`core` and `util` are not in the picture: every folder may import them.

```mermaid
graph TD
"""
TAIL = """```

The data plane and the admin plane do not import each other: what both need is in a folder below both.
Only `cli` and `server` read `settings`; they pass each object the values that it needs.
Importing a module only defines names; `server/wiring.py` is the only place that makes the broker's objects and joins them.

## Where a change goes

| Change | Place |
| --- | --- |
| a setting | the field with its default in `settings/model.py`, its check in `settings/load.py`, and its user: `server/wiring.py`, or `ConnectionLimits` in `server/http1/tracker.py` and `_connection_limits` in `server/run.py` if it bounds connections. The tests are in `tests/settings/test_load.py`, the pages are written by hand; [an example](#example-a-setting) has the order |
| an admin method | [Add an admin method](add-a-method.md) |
| a column of `request_logs` | [Add a field to a row](add-a-field.md) |
| a kind of call | [Add a kind of call](add-a-kind.md) |
| a price that no list has | `pricing/supplement.toml`, with its source and date |
| an error | a class in `core/errors.py`; `python -m tests.reference` writes its page |

### Example: a setting

The pause between two requests of a connection is the constant `KEEP_ALIVE_S`. To make it the setting `server.keep_alive_s`, change these files in this order:

1. `tests/settings/test_load.py`: a file that sets `keep_alive_s` is read, in `test_whole_file_is_understood`; what must hold between two settings is a test of its own. A test of the behaviour stands with its part, here in `tests/server/http1`.
2. `settings/model.py`: `keep_alive_s: float = 75` in `ServerSettings`.
3. `settings/load.py`: `keep_alive_s=table.seconds("keep_alive_s", default.keep_alive_s, "0.001", 86_400)` in `_server`.
4. `server/run.py`: `_connection_limits` passes `server.keep_alive_s` to `ConnectionLimits`, and the constant goes. A setting of any other object is passed by `server/wiring.py`, which makes that object.
5. `docs/reference/settings.md`: a row with the default, the accepted form and the meaning. `tests/settings/test_settings_page.py` compares default and bounds with the program.
6. `docs/explanation/reliability.md`: the setting in place of "75 s" in the table of connections. It and "Memory, by design" list all limits.
7. `CHANGELOG.md`: a line below "Unreleased", which you add above the newest version if it is missing.
8. `python -m pytest tests/settings tests/server tests/test_docs.py`, then `.ci/check`.
"""


def page() -> str:
    """Return the page."""
    return HEAD + "\n".join(_map()) + "\n" + ARROWS + "".join(f"    {line}\n" for line in _arrows()) + TAIL


def _map() -> Iterator[str]:
    yield "| Folder | Job | Modules |"
    yield "| --- | --- | --- |"
    for part in ALLOWED:
        folder = ROOT / part
        if folder.is_dir():
            modules = [path.stem for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
            below = [f"{path.name}/" for path in sorted(folder.iterdir()) if (path / "__init__.py").exists()]
            yield f"| `{part}/` | {_job(folder / '__init__.py')} | {' '.join([*modules, *below])} |"


def _job(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0].rstrip(".")


def _arrows() -> Iterator[str]:
    for part, below in ALLOWED.items():
        for target in ALLOWED:
            if target in below and target not in ("core", "util"):
                yield f"{part} --> {target}"
