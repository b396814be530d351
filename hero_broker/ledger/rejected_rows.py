"""Rows that the store will never take, kept in a file for the operator: no report and no bill has them."""

import json
import logging
import os
import time
from pathlib import Path

from hero_broker.ledger.rows import PendingRow
from hero_broker.util.private_files import make_file

log = logging.getLogger(__name__)


class RejectedRows:
    """A file with a JSON object a line: a row, its price and why it was rejected. A row is in it once."""

    def __init__(self, path: Path) -> None:
        """Take the file's path, and read which rows it has; it is made with the first one."""
        self._path = path
        self._ids: set[str] = set()
        self._is_torn = False  # the process died while it wrote the last line
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            self._is_torn = text != "" and not text.endswith("\n")
            self._ids.update(filter(None, map(_id_of, text.split("\n")[:-1])))

    @property
    def count(self) -> int:
        """How many rows are in the file, as it was read or written last."""
        return len(self._ids)

    def keep(self, due: PendingRow, reason: str) -> None:
        """Write a row to the file, and wait until it is on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        row = due.row
        if row.request_id in self._ids:  # the process died before the journal forgot it
            return
        is_new = not self._path.exists()
        make_file(self._path)
        line = json.dumps(_told(due, reason), separators=(",", ":"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n" if self._is_torn else f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_directory(self._path.parent)
        self._is_torn = False
        self._ids.add(row.request_id)
        log.error(
            "ledger: the store does not take a row (%s); it is kept in %s and is on no bill",
            reason,
            self._path,
            extra={"request_id": row.request_id},
        )


def _id_of(line: str) -> str | None:
    """Return the request id of a line; None where it is torn."""
    try:
        found: object = json.loads(line)
    except ValueError:
        return None
    return str(found["request_id"]) if isinstance(found, dict) and "request_id" in found else None


def _told(due: PendingRow, reason: str) -> dict[str, object]:
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
