"""Keeps rows that the store rejects in a file for the operator; they are in no report and on no bill."""

import errno
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from hero_broker.core.duties import Duty
from hero_broker.ledger.rows import PendingRow
from hero_broker.util.os_errors import describe
from hero_broker.util.private_files import FILE_MODE

log = logging.getLogger(__name__)


class _RejectedLine(msgspec.Struct):
    """A line of the file, as far as it is read again."""

    request_id: str


_LINES = msgspec.json.Decoder(_RejectedLine)


class RejectedRows:
    """A file with one JSON object per line: a row, its price and the reason. Each row is in it once.

    It does not grow beyond `max_bytes`. Rows that it cannot take are the caller's to keep.
    """

    def __init__(self, path: Path, recovered: Iterable[str], *, max_bytes: int) -> None:
        """Count the rows of the file; `recovered` has the ids of those that may come a second time.

        A file that cannot be read fails the duty `keeping`, and is read again by the next `keep`.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._recurring = set(recovered)
        self._kept: set[str] = set()  # those of the recurring rows that the file has
        self._count = 0
        self._is_read = False
        self._is_torn = False  # the last line has no end: the process died while writing it
        self.keeping = Duty("rejected_rows", f"rows that the database rejects are written to {path.name}")
        try:
            self._read()
        except OSError as error:
            self.keeping.failed(describe(error))

    @property
    def count(self) -> int:
        """The number of rows in the file, as of the last read or write; 0 if the file was taken away."""
        try:
            self._path.stat()
        except FileNotFoundError:
            return 0
        except OSError:  # it is there, and `keeping` fails
            return self._count
        return self._count

    def forget_recovered(self) -> None:
        """Forget which rows may come a second time, unless the file was not read yet, which may have some of them."""
        if self._is_read:
            self._recurring.clear()
            self._kept.clear()

    def keep(self, rows: Sequence[tuple[PendingRow, str]]) -> bool:
        """Append rows, each with the reason of its rejection, and flush them to the disk together.

        Return False if that fails; then none of them is kept, `keeping` fails, and the same rows should come again.
        """
        try:
            if not self._is_read:
                self._read()
            new = [(due, reason) for due, reason in rows if due.row.request_id not in self._kept]
            if rows:
                self._append([json.dumps(_entry(due, reason), separators=(",", ":")) for due, reason in new])
        except OSError as error:
            if not self._is_read:
                self._recurring.update(due.row.request_id for due, _ in rows)
            self.keeping.failed(describe(error))
            return False
        self.keeping.succeeded()
        for due, reason in new:
            log.error(
                "ledger: the store rejects a row (%s); it is kept in %s and is on no bill",
                reason,
                self._path,
                extra={"request_id": due.row.request_id},
            )
        return True

    def _read(self) -> None:
        """Count the rows of the file, and find those that may come a second time.

        Raises:
            OSError: the file cannot be read.
        """
        count, kept, line = 0, set(), b"\n"
        try:
            with self._path.open("rb") as file:
                for line in file:
                    request_id = _id_of(line)
                    count += request_id is not None
                    if request_id in self._recurring:
                        kept.add(request_id)
        except FileNotFoundError:
            pass
        self._count, self._kept, self._is_torn, self._is_read = count, kept, not line.endswith(b"\n"), True

    def _append(self, lines: Sequence[str]) -> None:
        """Append lines, or none of them; flush the file even if there are none: its last writer may have died.

        Raises:
            OSError: the file cannot be written, or has no room for them below `max_bytes`.
        """
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            size = os.fstat(fd).st_size
            data = "".join(f"{line}\n" for line in lines).encode()
            if size and self._is_torn:
                data = b"\n" + data
            if size + len(data) > self._max_bytes:
                raise OSError(errno.EFBIG, "the file is full: bill its rows by hand, and move it away")
            try:
                _write(fd, data)
                os.fsync(fd)
            except OSError:
                self._is_read = False  # unless this succeeds, the file may have some of the lines
                os.ftruncate(fd, size)
                self._is_read = True
                raise
        finally:
            os.close(fd)
        if not size:  # the file is new, or its predecessor was taken away
            _sync_directory(self._path.parent)
            self._count = 0
        self._is_torn = False
        self._count += len(lines)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _id_of(line: bytes) -> str | None:
    """Return the request id of a line; None if the line is torn."""
    try:
        return _LINES.decode(line).request_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


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
        "share_prices": [asdict(price) for price in due.share_prices],
    }


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
