"""Asks a broker for reports back to back, in a process of its own. Adds the milliseconds of each to a file, in lines.

Answers are read and thrown away: what counts is what they cost the broker. Prints the broker's port first.
"""

import http.client
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.reports.windows import ALL_TIME, windows

TIMEOUT_S = 120
START_BYTES = 200  # of an answer; an error of JSON-RPC is told within them


def requests(ip: str) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield requests as (method, path, body), without end: all windows by REST and JSON-RPC, one address between."""
    for number, window in enumerate(itertools.cycle((ALL_TIME, *windows()))):
        bounds = {} if window.since is None else {"since": window.since, "until": window.until}
        if number % 2:
            call = {"jsonrpc": "2.0", "id": number, "method": "billing.usage_by_ip", "params": bounds}
            yield "POST", "/rpc", json.dumps(call).encode()
        else:
            yield "GET", "/billing/usage?" + "&".join(f"{name}={value}" for name, value in bounds.items()), None
        yield "GET", f"/billing/usage/{ip}", None


def main() -> None:
    """Ask until killed."""
    port, ip, told = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with told.open("a", buffering=1) as lines:
        print(port, flush=True)
        for method, path, body in requests(ip):
            began = time.perf_counter()
            # One each: a connection that was idle while this was paused has been closed by the broker.
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            start = answer.read()[:START_BYTES]
            connection.close()
            assert answer.status == 200, start
            assert b'"error"' not in start, start
            lines.write(f"{(time.perf_counter() - began) * 1000}\n")


if __name__ == "__main__":
    main()
