"""What the rules for connections cost a request, against uvicorn without them. `python -m tests.benchmarks.connection`.

A request is parsed, answered by an application that does nothing, and written to a transport that goes nowhere.
"""

import asyncio
import time
from statistics import median
from typing import Any

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hero_broker.server.http1.protocol import make_protocol
from hero_broker.server.http1.tracker import ConnectionLimits, ConnectionTracker
from tests.raw_clients import chat_request

ROUNDS, REQUESTS = 9, 5_000
REQUEST = chat_request(
    headers={
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "authorization": "Bearer sk-0123456789",
        "connection": "keep-alive",
        "user-agent": "OpenAI/Python 2.0.0",
        "x-stainless-lang": "python",
        "x-stainless-os": "Linux",
    }
)


class Nowhere(asyncio.Transport):
    """Takes everything."""

    def write(self, data: Any) -> None:
        """Forget it."""

    def is_closing(self) -> bool:
        """Return that it is open."""
        return False

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        """Return that all is sent."""
        return 0


async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with nothing to speak of."""
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def microseconds(protocol: type[HttpToolsProtocol]) -> float:
    """Return the processor time of one request."""
    config = uvicorn.Config(answer, http=protocol, proxy_headers=False, access_log=False, log_level="warning")
    config.load()
    connection = protocol(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(Nowhere())
    begun = time.process_time()
    for _ in range(REQUESTS):
        connection.data_received(REQUEST)
        await asyncio.sleep(0)  # it is answered meanwhile
    return (time.process_time() - begun) / REQUESTS * 1e6


async def main() -> None:
    """Print the figures of both, which take turns."""
    ours = make_protocol(
        ConnectionTracker(ConnectionLimits(max_open=10, header_timeout_s=10, keep_alive_s=5, idle_timeout_s=60))
    )
    turns = [(await microseconds(HttpToolsProtocol), await microseconds(ours)) for _ in range(ROUNDS)]
    without, within = (median(one) for one in zip(*turns, strict=True))
    print(f"{without:.1f} µs a request without the rules, {within:.1f} with them")


if __name__ == "__main__":
    uvloop.run(main())
