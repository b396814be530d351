"""A provider on a raw loopback socket that misbehaves as each request asks it to, and keeps books of its own."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

MAX_REQUEST_BYTES = 1 << 20
ASKED = re.compile(rb'([^"|\r\n]+)\|([a-z ]+)\|([^"|\r\n]+)')  # wherever it stands in a body


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes are sent a few at a time."""

    data: bytes
    size: int
    every_s: float


@dataclass(frozen=True, slots=True)
class Forever:
    """The same bytes are sent again and again, until the broker closes the connection."""

    data: bytes
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing more is sent, until the broker closes the connection."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset."""


@dataclass(frozen=True, slots=True)
class KeepOpen:
    """The connection stays open for another request."""


Step = bytes | Pause | Drip | Forever | Hang | Reset | KeepOpen
Script = Callable[[str, str], Sequence[Step]]  # the fault's name and the form of the call → what is done


@dataclass(slots=True)
class Entry:
    """One request as the provider's books have it."""

    call: str  # the id that the caller chose
    fault: str
    form: str
    ended: str = "in flight"


class HostileProvider:
    """Listens on loopback. Somewhere in a request's body stands "fault|form|id"."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.entries: list[Entry] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                continue
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            body = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        asked = ASKED.search(body)
        assert asked is not None, body
        fault, form, call = (part.decode() for part in asked.groups())
        entry = Entry(call, fault, form)
        self.entries.append(entry)
        try:
            steps = self._script(fault, form)
            for step in steps:
                await self._do(step, reader, writer)
            entry.ended = "as meant"
        except (OSError, EOFError):
            entry.ended = "the broker closed"
            raise
        return bool(steps) and isinstance(steps[-1], KeepOpen)

    async def _do(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Drip):
            for at in range(0, len(step.data), step.size):
                writer.write(step.data[at : at + step.size])
                await writer.drain()
                await asyncio.sleep(step.every_s)
        elif isinstance(step, Forever):
            while not reader.at_eof():
                writer.write(step.data)
                await writer.drain()
                await asyncio.sleep(step.every_s)
        elif isinstance(step, Hang):
            while await reader.read(65536):
                continue
        elif isinstance(step, Reset):
            plain: socket.socket = writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@contextmanager
def hostile_provider(script: Script) -> Iterator[HostileProvider]:
    """Run a provider in a thread for the time of the block."""
    provider = HostileProvider(script)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        # One write of a script is one packet of its own, so that what is split arrives split.
        server = await asyncio.start_server(provider._serve, sock=provider._listener, limit=MAX_REQUEST_BYTES)
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="provider")
    thread.start()
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
