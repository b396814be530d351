"""Sends batches of the slowest reports back to back, in a process of its own. Adds a line to a file for each answer.

A line has the seconds that a batch took, and its bytes. Prints the broker's port first.
"""

import http.client
import json
import sys
import time
from pathlib import Path

MEMBERS = 100
TIMEOUT_S = 600
REPORTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("billing.usage_by_ip", {}),
    ("billing.usage", {"group_by": ["ip"], "bucket": "day"}),
)


def batch() -> bytes:
    """Return a batch of reports in turn, each of as many addresses as there are."""
    members = [REPORTS[number % len(REPORTS)] for number in range(MEMBERS)]
    asked = [
        {"jsonrpc": "2.0", "id": at, "method": name, "params": params} for at, (name, params) in enumerate(members)
    ]
    return json.dumps(asked).encode()


def main() -> None:
    """Ask until killed."""
    port, told = int(sys.argv[1]), Path(sys.argv[2])
    body = batch()
    with told.open("a", buffering=1) as lines:
        print(port, flush=True)
        while True:
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            connection.request("POST", "/rpc", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            size = results = 0
            while piece := answer.read1(1 << 20):
                size += len(piece)
                results += piece.count(b'"next_cursor"')
            connection.close()
            assert answer.status == 200
            assert results > MEMBERS * 0.9, results  # those that two pieces share are not counted
            lines.write(f"{time.perf_counter() - began} {size}\n")


if __name__ == "__main__":
    main()
