"""A form with an audio file, from client to provider: it passes on while it arrives, and is never held whole."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.types import Receive

from hero_broker.core.errors import BodyTimeout, BodyTooLarge, BrokerError, ClientLeft, InternalError
from hero_broker.data_plane.multipart import FormRewriter
from hero_broker.data_plane.spool import HOLD_BYTES, Spool
from hero_broker.metering.audio import duration_ms

log = logging.getLogger(__name__)


class Upload:
    """One form on its way; a `core.calls.UploadBody`."""

    def __init__(self, form: FormRewriter, directory: Path, max_bytes: int) -> None:
        self._form = form
        self._spool = Spool(directory)
        self._max_bytes = max_bytes
        self._settled = asyncio.Event()  # `ready` need not wait any longer
        self.length: int | None = None

    @property
    def content_type(self) -> str:
        """The content type under which it is sent."""
        return self._form.content_type

    @property
    def failure(self) -> BrokerError | None:
        """Why it will never be complete."""
        return self._spool.failure

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields that have come so far."""
        return self._form.fields

    async def receive(self, receive: Receive, within_s: float) -> None:
        """Read the request's body to its end; what goes wrong is told by `ready` and `chunks`."""
        failure: BrokerError | None = None
        try:
            async with asyncio.timeout(within_s):
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
            self._settled.set()

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
                self._settled.set()

    async def ready(self) -> None:
        """Return when the model is known and the file has come, or is known to be a large one.

        Raises:
            BrokerError: what is wrong with it.
        """
        await self._settled.wait()
        if self.failure is not None:
            raise self.failure

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the provider's form as it arrives.

        Raises:
            BrokerError: `failure`.
        """
        at = 0
        while data := await self._spool.read(at):
            at += len(data)
            yield data

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        """Return the duration of the file, in milliseconds; by its size where its format is not known."""
        start, size = self._form.file_start, self._form.file_bytes
        if start is None:
            return 0
        with self._spool.read_range(start, start + size) as audio:
            return duration_ms(audio, size, is_over)

    async def close(self) -> None:
        """Give the space back."""
        await self._spool.close()
