"""Uploads pass from the client to the provider: in memory or over the disk, whole or broken off."""

import asyncio
import io
import math
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hero_broker.core.errors import BodyTooLarge, BrokerError, ClientLeft, InvalidRequest
from hero_broker.data_plane.multipart import FormRewriter
from hero_broker.data_plane.spool import HOLD_BYTES, Spool
from hero_broker.data_plane.upload import Upload
from tests.data_plane.test_multipart import form, part

LEFT: dict[str, Any] = {"type": "http.disconnect"}


def sound(seconds: float, rate: int = 16_000) -> bytes:
    """Return silence as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * int(rate * seconds))
    return out.getvalue()


class Client:
    """Sends messages when the test says so."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self.messages.get()

    def sends(self, data: bytes, *, more: bool = True) -> None:
        self.messages.put_nowait({"type": "http.request", "body": data, "more_body": more})


def upload(directory: Path, max_bytes: int = 1 << 30) -> Upload:
    return Upload(FormRewriter(b"b", lambda name: name), directory, max_bytes)


async def passed(on_its_way: Upload) -> bytes:
    return b"".join([chunk async for chunk in on_its_way.chunks()])


@pytest.mark.parametrize("size", [1, HOLD_BYTES - 1, HOLD_BYTES + 1, 5 * HOLD_BYTES])
def test_provider_gets_every_byte(tmp_path: Path, size: int) -> None:
    audio = bytes(index % 251 for index in range(size))

    async def run() -> bytes:
        on_its_way, client = upload(tmp_path / "uploads"), Client()
        body = form(part("model", b"m"), part("file", audio, file_name="a.raw"))
        for at in range(0, len(body), 100_000):
            client.sends(body[at : at + 100_000])
        client.sends(b"", more=False)
        reading = asyncio.create_task(on_its_way.receive(client.receive, 10))
        await on_its_way.ready()
        out = await passed(on_its_way)
        await reading
        assert on_its_way.length == len(out)
        await on_its_way.close()
        return out

    assert audio in asyncio.run(run())
    assert not list(tmp_path.glob("uploads/*"))


def test_large_file_begins_to_pass_before_it_has_come(tmp_path: Path) -> None:
    async def run() -> None:
        on_its_way, client = upload(tmp_path), Client()
        reading = asyncio.create_task(on_its_way.receive(client.receive, 10))
        head = part("model", b"m") + part("file", b"x" * (HOLD_BYTES + 10), file_name="a")[:-2]
        client.sends(head)
        await on_its_way.ready()
        chunks = on_its_way.chunks()
        assert await anext(chunks)
        assert on_its_way.length is None
        client.sends(b"\r\n--b--\r\n", more=False)
        rest = b"".join([chunk async for chunk in chunks])
        await reading
        assert rest.endswith(b"--\r\n")
        await on_its_way.close()

    asyncio.run(run())


@pytest.mark.parametrize("before", [b"", part("model", b"m"), part("model", b"m") + part("file", b"x" * 2_000_000)])
def test_client_that_leaves_fails_the_upload(tmp_path: Path, before: bytes) -> None:
    async def run() -> None:
        on_its_way, client = upload(tmp_path), Client()
        client.sends(before)
        client.messages.put_nowait(LEFT)
        await on_its_way.receive(client.receive, 10)
        with pytest.raises(ClientLeft if b"file" not in before else InvalidRequest):
            await on_its_way.ready()
        await on_its_way.close()

    asyncio.run(run())


def failure_of(
    tmp_path: Path, *pieces: bytes, max_bytes: int = 1 << 30, ends: bool = True, within_s: float = 20
) -> BrokerError | None:
    async def run() -> BrokerError | None:
        on_its_way, client = upload(tmp_path, max_bytes), Client()
        for number, piece in enumerate(pieces, start=1):
            client.sends(piece, more=number < len(pieces) or not ends)
        await on_its_way.receive(client.receive, within_s)
        with pytest.raises(BrokerError):
            await passed(on_its_way)
        await on_its_way.close()
        return on_its_way.failure

    return asyncio.run(run())


def test_upload_beyond_the_bound_fails(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, part("model", b"m"), b"x" * 1000, max_bytes=500)

    assert isinstance(failure, BodyTooLarge)


def test_upload_that_stops_arriving_fails_in_time(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, part("model", b"m"), ends=False, within_s=0.05)

    assert failure is not None
    assert failure.code == "body_timeout"


def test_state_directory_that_cannot_be_written_fails_the_upload(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    body = form(part("model", b"m"), part("file", b"x" * (3 * HOLD_BYTES), file_name="a"))

    failure = failure_of(blocked / "uploads", body)

    assert failure is not None
    assert failure.status == 500


def duration_of(tmp_path: Path, audio: bytes, file_name: str) -> int:
    async def run() -> int:
        on_its_way, client = upload(tmp_path), Client()
        client.sends(form(part("file", audio, file_name=file_name), part("model", b"m")), more=False)
        await on_its_way.receive(client.receive, 10)
        try:
            return await asyncio.to_thread(on_its_way.audio_ms, lambda: False)
        finally:
            await on_its_way.close()

    return asyncio.run(run())


@pytest.mark.parametrize("seconds", [0.25, 1.5, 90.0])
def test_duration_is_the_files_own(tmp_path: Path, seconds: float) -> None:
    assert duration_of(tmp_path, sound(seconds), "a.wav") == round(seconds * 1000)


@pytest.mark.parametrize(
    "audio",
    [
        b"no audio at all, in any format that is known",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x01\0\0\0\x01\0\0\0\x01\0\x08\0data\xff\xff\xff\x7f",
        b"\xff\xfb" * 50,
        b"OggS" + bytes(100),
        b"fLaC" + bytes(100),
    ],
)
def test_what_is_no_audio_is_measured_by_its_size(tmp_path: Path, audio: bytes) -> None:
    assert duration_of(tmp_path, audio, "a.wav") == math.ceil(len(audio) / 16)


def test_spool_tells_readers_of_its_failure() -> None:
    async def run() -> None:
        spool = Spool(Path("/nowhere"))
        waiting: Sequence[asyncio.Task[bytes]] = [asyncio.create_task(spool.read(0))]
        await asyncio.sleep(0)
        spool.end(ClientLeft("gone"))
        with pytest.raises(ClientLeft):
            await waiting[0]

    asyncio.run(run())
