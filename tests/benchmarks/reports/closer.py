"""Closes all calls of a ledger again and again, in a process of its own. Adds the milliseconds of each to a file.

After each close its period is removed from the database, which the program itself never does. Prints the broker's port
first.
"""

import http.client
import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.benchmarks.reports.asker import START_BYTES, TIMEOUT_S
from tests.benchmarks.reports.rows import LAST_AT

BUSY_S = 60


def main() -> None:
    """Close until killed."""
    port, ledger, told = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    body = json.dumps({"reference": "all", "until": LAST_AT, "tz": "Europe/Zurich"}).encode()
    with told.open("a", buffering=1) as lines, closing(sqlite3.connect(ledger, timeout=BUSY_S)) as database:
        print(port, flush=True)
        while True:
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            connection.request("POST", "/billing/close", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            start = answer.read()[:START_BYTES]
            connection.close()
            assert answer.status == 200, start
            lines.write(f"{(time.perf_counter() - began) * 1000}\n")
            with database:
                database.execute("DELETE FROM billing_lines")
                database.execute("DELETE FROM billing_periods")


if __name__ == "__main__":
    main()
