"""Append-only files that hold calls in flight, and rows until the database has them.

Rows enter here and leave in `store.request_logs`. A written record survives a killed process at once, and a power loss
after the next flush (at most 50 ms later). Format, version 2:

    segment   16 bytes of header, then frames, then zeros up to the preallocated size
    header    b"HEROJRNL", version (u16), 6 bytes of zeros
    frame     length of the payload (u32), CRC-32 of type and payload (u32), type (u8), payload (MessagePack)
    type 1    a note: a call began. Its `interrupted` row is built from it if the call gets no row
    type 2    a row that the database may lack, and its price

The payload has fields without names: new fields come last, with a default, and the version changes when a field changes
its meaning. Numbers are little-endian. A frame with a wrong checksum ends its segment: the process died while it wrote
the frame.
Each new segment starts with the notes of the open calls, so that segments can be removed oldest first.
"""

import errno
import logging
import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hero_broker.core.duties import Duty
from hero_broker.core.errors import JournalFull, JournalUnreadable, JournalUnusable
from hero_broker.ledger.rejected_rows import RejectedRows
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.util.os_errors import describe
from hero_broker.util.private_files import FILE_MODE, make_directory

MAGIC = b"HEROJRNL"
VERSION = 2
HEADER = struct.Struct("<8sH6x")
FRAME = struct.Struct("<IIB")
BEGAN, DUE = 1, 2  # types of records
RECORD_MAX = 4096  # bytes of the longest frame; an open call reserves as many
GROWTH_MAX = 648  # bytes by which a row may be longer than its note: counts, ids, an error code
ALLOCATE_BYTES = 1024 * 1024  # that are written at once on systems without `posix_fallocate`
SEGMENT_MIN = 8 * 1024 * 1024
FLUSH_EVERY_S = 0.05
REJECTED = "rejected.jsonl"  # rows that the store rejects; see `ledger.rejected_rows`


log = logging.getLogger(__name__)


@dataclass(slots=True)
class _JournalSegment:
    number: int
    path: Path
    fd: int
    size: int
    position: int
    waiting: int = 0  # its rows that the store does not have yet


_ENCODER = msgspec.msgpack.Encoder()
_NOTES = msgspec.msgpack.Decoder(CallStarted)
_ROWS = msgspec.msgpack.Decoder(PendingRow)


def _sync(fd: int) -> None:
    """Flush a file's content to the disk."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:  # macOS
        os.fsync(fd)


def _allocate(fd: int, size: int) -> None:
    """Allocate `size` bytes of zeros on the disk for an empty file, so that later writes cannot run out of space.

    Raises:
        OSError: the disk has no space for them.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    zeros = bytes(ALLOCATE_BYTES)  # macOS: extending the file would leave holes, without disk space
    for at in range(0, size, ALLOCATE_BYTES):
        part = zeros[: size - at]
        if os.pwrite(fd, part, at) != len(part):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _frame(record_type: int, payload: bytes) -> bytes:
    return FRAME.pack(len(payload), zlib.crc32(payload, record_type), record_type) + payload


def fit_record(due: PendingRow) -> PendingRow:
    """Return a pending row that fits into a record: without the shares of its cost if they make it too long."""
    if FRAME.size + len(_ENCODER.encode(due)) <= RECORD_MAX:
        return due
    return replace(due, row=replace(due.row, cost_shares=None), share_prices=())


class Journal:
    """The journal of one state directory. `begin` and `settle` do not wait for the disk.

    Safe for one thread that calls `begin` and `settle` and another that calls `forget`.
    """

    def __init__(
        self,
        directory: Path,
        interrupted_row: Callable[[CallStarted], PendingRow],
        *,
        max_bytes: int,
        max_calls: int,
    ) -> None:
        """Open or create the journal; `recovered` then holds the rows that the store may lack.

        `interrupted_row` builds the row of a call that began in an earlier run and got no row; it raises ValueError if
        the note's price has another version.

        Raises:
            JournalUnreadable: a segment has an unknown version or record; nothing is changed.
            JournalUnusable: a segment cannot be created; the existing ones stay for the next start.
        """
        self._directory = directory
        self._interrupted_row = interrupted_row
        self._max_bytes = max_bytes
        self._segment_bytes = max(SEGMENT_MIN, 4 * max_calls * RECORD_MAX)
        self._lock = threading.Lock()
        self._began: dict[str, bytes] = {}  # frames of the calls that are open
        self._dirty = False
        self._flushing = threading.Lock()  # held during a flush, so that a second caller waits for it
        self._closing = threading.Event()
        self.flushing = Duty("journal_flush", "the journal is flushed to the disk")
        self.releasing = Duty("journal_release", "segments of the journal are removed once the database has their rows")
        self._emptied: list[Path] = []  # closed segments that remain to be removed
        try:
            make_directory(directory)
            self._old = sorted(directory.glob("*.journal"))
            self.recovered = self._read_all()
            recovered = (due.row.request_id for due in self.recovered)
            self.rejected = RejectedRows(directory / REJECTED, recovered, max_bytes=max_bytes)
            number = int(self._old[-1].stem) + 1 if self._old else 1
            self._segments = [self._create(number)]
        except OSError as error:
            raise JournalUnusable(f"the journal in {directory} cannot be written: {error.strerror}") from error
        self._flusher = threading.Thread(target=self._flush_often, name="journal-flusher", daemon=True)
        self._flusher.start()

    def _read_all(self) -> list[PendingRow]:
        began: dict[str, CallStarted] = {}
        due: dict[str, PendingRow] = {}
        for path in self._old:
            for record in read_segment(path):
                if isinstance(record, PendingRow):
                    due.setdefault(record.row.request_id, record)
                else:
                    began[record.request_id] = record  # the latest attempt
        try:
            cut_off = [self._interrupted_row(note) for key, note in began.items() if key not in due]
        except ValueError as error:  # the rates of the price have another version
            raise JournalUnreadable("the journal has a call whose price this program cannot read") from error
        if due or cut_off:
            outcomes = Counter(one.row.outcome.value for one in cut_off)
            settled = ", ".join(f"{count} as {outcome}" for outcome, count in outcomes.items()) or "0"
            log.info(
                "journal: rows of an earlier run that are written, unless the database has them: %d; "
                "calls without a row that are settled: %s",
                len(due),
                settled,
            )
        return [*due.values(), *cut_off]

    def forget_recovered(self) -> None:
        """Remove the segments of earlier runs. Call it once the store or another segment has their rows."""
        self._remove(self._old)
        self._old = []
        self.rejected.forget_recovered()

    def begin(self, note: CallStarted) -> None:
        """Write the note of a call that begins, or of its next attempt, and reserve space for its row.

        Raises:
            JournalFull: the journal has no space; the call must not be made.
            OSError: the disk fails; the call must not be made.
        """
        frame = _frame(BEGAN, _ENCODER.encode(note))
        if len(frame) > RECORD_MAX - GROWTH_MAX:
            raise JournalFull("the note of this call exceeds the maximum length of a record")
        with self._lock:
            segment = self._segments[-1]
            if segment.position + len(frame) + (len(self._began) + 1) * RECORD_MAX > segment.size:
                segment = self._rotate()
            self._write(segment, frame)
            self._began[note.request_id] = frame

    def settle(self, due: PendingRow) -> int:
        """Write a row into the space that its call reserved; return its segment's number.

        Raises:
            OSError: the disk fails.
        """
        frame = _frame(DUE, _ENCODER.encode(due))
        with self._lock:
            segment = self._segments[-1]
            self._write(segment, frame)
            segment.waiting += 1
            self._began.pop(due.row.request_id, None)
            return segment.number

    @property
    def newest(self) -> int:
        """The number of the segment that is being written."""
        return self._segments[-1].number

    def carry(self, rows: Sequence[PendingRow]) -> tuple[int, int]:
        """Write rows that stay for long to the newest segment again, so that older segments can be removed.

        Return its number, and how many of the rows, from the first one on, it has now. They fill at most half of it.

        Raises:
            OSError: the disk fails; the rows are where they were.
        """
        frames = [_frame(DUE, _ENCODER.encode(due)) for due in rows]
        with self._lock:
            segment = self._segments[-1]
            room = min(segment.size // 2, segment.size - len(self._began) * RECORD_MAX) - segment.position
            sizes = list(accumulate(len(frame) for frame in frames))
            carried = bisect_right(sizes, room)
            if carried:
                self._write(segment, b"".join(frames[:carried]))
        self.flush()
        segment.waiting += carried  # only the caller's thread removes segments: this one is still there
        return segment.number, carried

    def forget(self, counts: dict[int, int]) -> None:
        """Record how many rows of each segment need it no longer; remove segments that are done."""
        with self._lock:
            for segment in self._segments:
                segment.waiting -= counts.get(segment.number, 0)
            finished = []
            while len(self._segments) > 1 and self._segments[0].waiting == 0:
                finished.append(self._segments.pop(0))
        for segment in finished:
            with self._flushing:  # a flush may use this file
                os.close(segment.fd)
        if finished or self._emptied:
            self._remove([segment.path for segment in finished])

    def _remove(self, paths: list[Path]) -> None:
        """Remove files, and those that could not be removed before. Errors do not propagate: the rows are stored."""
        remaining = []
        for path in (*self._emptied, *paths):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                remaining.append(path)
                self.releasing.failed(describe(error))
        self._emptied = remaining
        if not remaining:
            self.releasing.succeeded()

    @property
    def open_calls(self) -> int:
        """The number of calls that began and have no row yet."""
        return len(self._began)

    def open_calls_before(self, started_before: int) -> int:
        """Return how many calls began before a time (unix seconds) and have no row yet."""
        with self._lock:
            frames = list(self._began.values())
        return sum(_NOTES.decode(memoryview(frame)[FRAME.size :]).started_at < started_before for frame in frames)

    @property
    def size_bytes(self) -> int:
        """Bytes of its segments on the disk, without those of earlier runs."""
        return sum(segment.size for segment in self._segments)

    def flush(self) -> None:
        """Flush all written records to the disk. Blocks; not for the event loop.

        Raises:
            OSError: the disk fails; the next flush retries.
        """
        with self._flushing:  # a segment is closed only while this is held
            with self._lock:
                dirty, self._dirty = self._dirty, False
                fds = [segment.fd for segment in self._segments[-2:]] if dirty else []
            try:
                for fd in fds:
                    _sync(fd)
            except OSError:
                self._dirty = True
                raise

    def close(self) -> None:
        """Flush and close. Segments with rows that the store lacks stay for the next start."""
        self._closing.set()
        self._flusher.join()
        try:
            self.flush()
        except OSError as error:
            log.error("journal: the last flush failed: %s", error.strerror)
        with self._lock:
            is_done = not self._began
            for segment in self._segments:
                os.close(segment.fd)
                is_done = is_done and segment.waiting == 0  # the oldest first, as in `forget`
                if is_done:
                    segment.path.unlink(missing_ok=True)
            self._segments = []

    def _flush_often(self) -> None:
        while not self._closing.wait(FLUSH_EVERY_S):
            try:
                self.flush()
            except OSError as error:  # no error may end this thread: it must retry
                self.flushing.failed(describe(error))
            else:
                self.flushing.succeeded()

    def _write(self, segment: _JournalSegment, frame: bytes) -> None:
        written = os.pwrite(segment.fd, frame, segment.position)
        if written != len(frame):  # the space is preallocated: only a failing disk gets here
            raise OSError(f"journal: wrote {written} of {len(frame)} bytes")
        segment.position += len(frame)
        self._dirty = True

    def _rotate(self) -> _JournalSegment:
        in_use = sum(segment.size for segment in self._segments)
        if in_use + self._segment_bytes > max(self._max_bytes, self._segment_bytes):
            raise JournalFull("the journal has reached journal_max_bytes")
        try:
            segment = self._create(self._segments[-1].number + 1)
        except OSError as error:
            raise JournalFull(f"the journal cannot grow: {error.strerror}") from error
        for frame in self._began.values():
            self._write(segment, frame)
        self._segments.append(segment)
        return segment

    def _create(self, number: int) -> _JournalSegment:
        path = self._directory / f"{number:012d}.journal"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            _allocate(fd, self._segment_bytes)
            os.pwrite(fd, HEADER.pack(MAGIC, VERSION), 0)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return _JournalSegment(number, path, fd, self._segment_bytes, HEADER.size)


def read_segment(path: Path) -> Iterator[CallStarted | PendingRow]:
    """Yield the records of one segment, up to its end or to the first torn frame.

    Raises:
        JournalUnreadable: the header, or a complete record, is unknown to this program.
    """
    data = path.read_bytes()
    if not data.strip(b"\0"):
        return  # the process died between creating the file and writing its header
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise JournalUnreadable(f"{path.name} is not a journal segment")
    (_, version) = HEADER.unpack_from(data)
    if version != VERSION:
        raise JournalUnreadable(f"{path.name} has version {version}; this program knows version {VERSION}")
    position = HEADER.size
    while position + FRAME.size <= len(data):
        length, checksum, record_type = FRAME.unpack_from(data, position)
        payload = data[position + FRAME.size : position + FRAME.size + length]
        if length == 0 or len(payload) != length or zlib.crc32(payload, record_type) != checksum:
            return
        try:
            record: CallStarted | PendingRow = (_NOTES if record_type == BEGAN else _ROWS).decode(payload)
        except msgspec.DecodeError as error:  # written by another version: a call must not be skipped
            raise JournalUnreadable(f"{path.name} has a record that this program does not know") from error
        yield record
        position += FRAME.size + length
