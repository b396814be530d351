"""A buffer that one task fills and another reads: in memory if small, in an unnamed file if large."""

import asyncio
import io
import os
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

from hero_broker.core.errors import BrokerError
from hero_broker.util.private_files import make_directory

HOLD_BYTES = 1024 * 1024  # held in memory at most
BLOCK_BYTES = 256 * 1024  # written or read at once


class Spool:
    """An append-only buffer of bytes. Every disk access runs in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._buffer = bytearray()  # bytes that are not on the disk
        self._on_disk = 0
        self._file: BinaryIO | None = None
        self._file_lock = threading.Lock()  # a thread may still be writing when the call has ended
        self._changed = asyncio.Event()
        self.is_complete = False
        self.failure: BrokerError | None = None
        self._is_closed = False

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._on_disk + len(self._buffer)

    async def append(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: writing to the disk failed.
        """
        if self._is_closed:  # the provider responded before it had read everything
            return
        self._buffer += data
        self._changed.set()
        if self.size > HOLD_BYTES and len(self._buffer) >= BLOCK_BYTES:
            block = bytes(self._buffer)
            await asyncio.to_thread(self._write, block)
            self._on_disk += len(block)
            del self._buffer[: len(block)]

    def end(self, failure: BrokerError | None = None) -> None:
        """Mark the end of the data; `failure` says why the data are incomplete."""
        if self.is_complete or self.failure:
            return
        self.failure = failure
        self.is_complete = failure is None
        self._changed.set()

    async def read(self, at: int) -> bytes:
        """Wait for bytes at the position `at` and return them; empty at the end.

        Raises:
            BrokerError: the writer ended with this failure.
        """
        while at >= self.size and not self.is_complete and self.failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self.failure is not None:
            raise self.failure
        if at < self._on_disk:
            return await asyncio.to_thread(self._read, at, min(BLOCK_BYTES, self._on_disk - at))
        start = at - self._on_disk
        return bytes(self._buffer[start : start + BLOCK_BYTES])

    def read_range(self, start: int, end: int) -> BinaryIO:
        """Return a part of the bytes so far as a readable file. Blocks; not for the event loop."""
        return io.BufferedReader(_Range(self, start, min(end, self.size)))

    def read_now(self, at: int, length: int) -> bytes:
        """Return bytes that are already here. Blocks; not for the event loop."""
        if at < self._on_disk:
            return self._read(at, min(length, self._on_disk - at))
        start = at - self._on_disk
        return bytes(self._buffer[start : start + length])

    async def close(self) -> None:
        """Free memory and disk; drop what is appended from now on."""
        self._is_closed = True
        self._buffer.clear()
        if self._file is not None:
            await asyncio.to_thread(self._close)

    def _write(self, block: bytes) -> None:
        with self._file_lock:
            if self._is_closed:
                return
            if self._file is None:
                make_directory(self._directory)
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - closed by close
            unwritten = memoryview(block)
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]

    def _read(self, at: int, length: int) -> bytes:
        with self._file_lock:
            return b"" if self._file is None else os.pread(self._file.fileno(), length, at)

    def _close(self) -> None:
        with self._file_lock:
            if self._file is not None:
                self._file.close()


class _Range(io.RawIOBase):
    """Bytes `start` to `end` of a spool."""

    def __init__(self, spool: Spool, start: int, end: int) -> None:
        self._spool = spool
        self._start = start
        self._length = max(0, end - start)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:  # any writable buffer, as in the base class
        wanted = min(len(buffer), self._length - self._at)
        if wanted <= 0:
            return 0
        data = self._spool.read_now(self._start + self._at, wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
