"""Streams a form with an audio file from client to provider, never held whole in memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.types import Receive

from hero_broker.core.errors import BodyTimeout, BodyTooLarge, BrokerError, ClientLeft, InternalError
from hero_broker.data_plane.multipart import FormRewriter
from hero_broker.data_plane.spool import HOLD_BYTES, Spool
from hero_broker.metering.audio.duration import duration_ms

log = logging.getLogger(__name__)


class Upload:
    """One form on its way to the provider; a `core.calls.UploadBody`."""

    def __init__(self, form: FormRewriter, directory: Path, max_bytes: int) -> None:
        self._form = form
        self._spool = Spool(directory)
        self._max_bytes = max_bytes
        self._ready_event = asyncio.Event()  # `ready` need not wait
        self.length: int | None = None

    @property
    def content_type(self) -> str:
        """The content type of the form that is sent."""
        return self._form.content_type

    @property
    def failure(self) -> BrokerError | None:
        """Why the upload will never be complete, if so."""
        return self._spool.failure

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields so far."""
        return self._form.fields

    async def receive(self, receive: Receive, timeout_s: float) -> None:
        """Read the request's body to its end; `ready` and `chunks` raise what goes wrong."""
        failure: BrokerError | None = None
        try:
            async with asyncio.timeout(timeout_s):
                await self._receive(receive)
        except TimeoutError:
            failure = BodyTimeout("The body did not arrive in time.")
        except BrokerError as error:
            failure = error
        except OSError as error:
            log.error("upload: cannot write to the state directory: %s", error.strerror)
            failure = InternalError("The upload could not be stored.")
        except asyncio.CancelledError:
            self._spool.end(ClientLeft("The client left before its request was complete."))
            raise
        finally:
            if failure is None and self.failure is None and self._spool.is_complete:
                self.length = self._spool.size
            self._spool.end(failure)
            self._ready_event.set()

    async def _receive(self, receive: Receive) -> None:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft("The client left before its request was complete.")
            data = message.get("body", b"")
            size += len(data)
            if size > self._max_bytes:
                raise BodyTooLarge(f"The body must be at most {self._max_bytes} bytes long.")
            await self._spool.append(self._form.feed(data))
            if not message.get("more_body", False):
                await self._spool.append(self._form.finish())
                self._spool.end()
                return
            if "model" in self._form.fields and self._form.file_bytes > HOLD_BYTES:
                self._ready_event.set()

    async def ready(self) -> None:
        """Wait until the model is known, and the file is complete or known to be large.

        Raises:
            BrokerError: the upload failed; this is its `failure`.
        """
        await self._ready_event.wait()
        if self.failure is not None:
            raise self.failure

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the provider's form as it arrives.

        Raises:
            BrokerError: the upload failed; this is its `failure`.
        """
        at = 0
        while data := await self._spool.read(at):
            at += len(data)
            yield data

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        """Return the duration of the file, in milliseconds; derived from its size if its format is unknown."""
        start, size = self._form.file_start, self._form.file_bytes
        if start is None:
            return 0
        with self._spool.read_range(start, start + size) as audio:
            return duration_ms(audio, size, is_over)

    async def close(self) -> None:
        """Free memory and disk."""
        await self._spool.close()
