"""What becomes of answers that are no HTTP."""

import asyncio
import threading

import pytest

from hero_broker.core.errors import ProviderError
from hero_broker.providers import upstream
from hero_broker.providers.upstream import Timeouts, open_upstream
from tests.e2e.provider import HEAD, Provider

CHUNKED = HEAD.replace(b"connection: close", b"transfer-encoding: chunked")


@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\n", b"1\r\nabc\r\n"])
def test_body_whose_framing_breaks_ends_at_once(broken: bytes) -> None:
    reads_first = threading.Event()

    def answer(provider: Provider) -> None:
        exchange = provider.accept()
        exchange.send(CHUNKED + b"3\r\nabc\r\n")
        assert reads_first.wait(20)
        exchange.send(broken)
        exchange.wait_for_close()

    async def read(url: str) -> None:
        # No time-out could end it within the test.
        async with open_upstream(Timeouts(first_byte_s=600, idle_s=600, total_s=600), 1) as opened:
            to = upstream.Provider("p", url, (), stream_usage=True)
            reply = await opened.post(to, url, (), b"{}")
            assert await reply.read() == b"abc"
            reads_first.set()
            with pytest.raises(ProviderError, match="broke off"):
                await asyncio.wait_for(reply.whole(1000), 30)
            reply.close()

    with Provider() as provider:
        thread = threading.Thread(target=answer, args=(provider,))
        thread.start()
        asyncio.run(read(provider.url))
        thread.join(20)
