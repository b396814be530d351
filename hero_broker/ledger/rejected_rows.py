"""Keeps rows that the store rejects in a file for the operator; they are in no report and on no bill."""

import json
import logging
import os
import time
from pathlib import Path

from hero_broker.ledger.rows import PendingRow
from hero_broker.util.private_files import make_file

log = logging.getLogger(__name__)


class RejectedRows:
    """A file with one JSON object per line: a row, its price and the reason. Each row is in it once."""

    def __init__(self, path: Path) -> None:
        """Read which rows the file has; the first rejected row creates it."""
        self._path = path
        self._ids: set[str] = set()
        self._is_torn = False  # the process died while writing the last line
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            self._is_torn = text != "" and not text.endswith("\n")
            self._ids.update(filter(None, map(_id_of, text.split("\n")[:-1])))

    @property
    def count(self) -> int:
        """The number of rows in the file, as of the last read or write."""
        return len(self._ids)

    def keep(self, due: PendingRow, reason: str) -> None:
        """Append a row to the file and flush it to the disk.

        Raises:
            OSError: the file cannot be written.
        """
        row = due.row
        if row.request_id in self._ids:  # the process died before the journal forgot it
            return
        is_new = not self._path.exists()
        make_file(self._path)
        line = json.dumps(_entry(due, reason), separators=(",", ":"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n" if self._is_torn else f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_directory(self._path.parent)
        self._is_torn = False
        self._ids.add(row.request_id)
        log.error(
            "ledger: the store rejects a row (%s); it is kept in %s and is on no bill",
            reason,
            self._path,
            extra={"request_id": row.request_id},
        )


def _id_of(line: str) -> str | None:
    """Return the request id of a line; None if the line is torn."""
    try:
        entry: object = json.loads(line)
    except ValueError:
        return None
    return str(entry["request_id"]) if isinstance(entry, dict) and "request_id" in entry else None


def _entry(due: PendingRow, reason: str) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(due.row, name) for name in due.row.__struct_fields__}
    row["ip_key"] = None if due.row.ip_key is None else due.row.ip_key.hex()
    return {
        "request_id": due.row.request_id,
        "rejected_at": int(time.time()),  # unix seconds, UTC
        "reason": reason,
        "row": row,
        "rates": due.rates,
        "price_source": due.price_source,
        "price_version": due.price_version,
    }


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
