"""The page of the architecture: the map of folders from their docstrings, the arrows from the test's own table.

`python -m tests.reference.architecture` writes it; a test compares it with the tree.
"""

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
2. `edge/middleware.py` gives it an id; `edge/source_ip.py` decides the address that is billed; `edge/admission.py` refuses addresses that may not call.
3. `server/router.py` sends calls to `data_plane/endpoint.py`, admin paths to `admin_plane/`.
4. `data_plane/endpoint.py` reads the body through its kind (`kinds/chat.py`, `embedding.py`, …; all are in `kinds/registry.py`), finds the model's provider (`providers/routes.py`), and makes a `ClientCall` (`data_plane/client_call.py`).
5. `Exchange.start` (`data_plane/exchange.py`) asks the checks (`checks.py`), encodes the call for a target, and notes it in the journal (`Journal.begin` in `ledger/journal.py`). `CallRun.run` (`data_plane/call_run.py`) sends it through `providers/upstream/`.
6. The response is forwarded to the client (`data_plane/relay.py`, `event_stream.py`) and metered (`metering/meter.py`). Its tail is held back.
7. The meter makes the row (`metering/billing_row.py`, `pricing/cost.py`), the ledger appends it to the journal, and only then does the tail leave.
8. `ledger/ledger.py` moves rows to the database in batches (`store/request_logs.py`) and folds them into roll-ups (`store/rollups.py`).
9. A report only reads the database: `admin_plane/methods.py` → `reports/usage.py` → `store/usage.py` → one `GROUP BY`.

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
| a setting | the field with its default in `settings/model.py`, its check in `settings/load.py`, its user in `server/wiring.py`, its line in `docs/reference/settings.md` |
| an admin method | `openrpc.json`, the function in `admin_plane/methods.py`, its route in `admin_plane/rest.py`, the query in `reports/` and the statement in `store/`, the client in `client/` |
| a column of `request_logs` | `core/records.py` (last, with a default), `store/schema.py`, a step in `store/migrations.py`, `openrpc.json` |
| a kind of call | [Add a kind of call](add-a-kind.md) |
| a price that no list has | `pricing/supplement.toml`, with its source and date |
| an error | a class in `core/errors.py`; `python -m tests.reference.errors` writes its page |
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


if __name__ == "__main__":
    PAGE.write_text(page())
