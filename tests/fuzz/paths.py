"""Random paths, with and without a token: what the gate lets pass is compared with the route that Starlette matches.

`python -m tests.fuzz.paths --minutes 10 --seed 1` asks an application in this process, whose scopes are made as the
server makes them, and for each hundredth path a broker over a real socket. It prints counts, and every path on which
the gate and the router disagree; then it ends with 1.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httptools
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from hero_broker.data_plane.path_spellings import CALL_SPELLINGS, canonical_path, deployment_path
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins
from hero_broker.edge.source_ip import SourceIp
from hero_broker.kinds.registry import CALL_PATHS
from hero_broker.server.router import Router
from hero_broker.settings.model import ServerSettings
from tests.e2e_support import broker
from tests.raw_clients import connected
from tests.server.test_router import routes_of_the_program

TOKEN = "a-token-of-the-fuzzer"
LONGEST = 60_000  # bytes of a target; a head has at most 65,536
SOCKET_SHARE = 100  # of so many paths one goes to the broker, too
OPEN_PATHS = (
    *("/", "/health/live", "/health/ready", "/v1/models", "/v1/models/{name:path}"),
    *("/v1/usage", "/v1/usage/{request_id}"),  # tell callers about themselves
    *CALL_PATHS,
)
SAMPLES = {"{ip:path}": "127.0.0.1", "{request_id}": "req_1", "{name:path}": "fake-chat"}
AZURE = "/openai/deployments/fake-chat/chat/completions"
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
PAGE = [(b"origin", b"https://evil.example"), (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors")]
BEARER = [(b"authorization", f"Bearer {TOKEN}".encode())]
HOST = [(b"host", b"localhost")]

PIECES = (
    *("/", "//", "///", "/.", "/./", "/..", "/../", ".", "..", ";", ";a=b", "?", "?a=/rpc", "#", "&", "=", "@", ":"),
    *("\\", "%5c", "%2f", "%2F", "%252f", "%2e", "%2e%2e", "%00", "%0a", "%0A", "%0d", "%0d%0a", "%09", "%20", "+"),
    *("%7f", "%c2%85", "%c2%a0", "%e2%80%a8", "%e2%80%a9", "%e2%80%8b", "%ef%bb%bf", "%ed%a0%80", "%c0%af", "%ff"),
    *("%", "%4", "%zz", "%25", "%250a", "%ef%bc%8f", "%cc%81", "%c4%b0", "%c5%bf", "\x00", "\x0b", "\x7f", "\xe9"),
    *("rpc", "billing", "admin", "v1", "health", "live", "openapi.json", "metrics", ".json", "~", "*", "{ip:path}"),
)


def table_of(routing: Router) -> list[str]:
    """Return every path of the route table."""
    return [*routing.hot, *(route.path for route in routing.others.routes if isinstance(route, Route))]


class Targets:
    """Makes targets of requests, most of them close to a path that is there."""

    def __init__(self, paths: Sequence[str], seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # that finds the same again
        self._paths = [*paths, *CALL_SPELLINGS, "/models", AZURE, "/metrics", "/admin", "/billing", "/", ""]

    def next(self) -> bytes:
        """Return one."""
        choice = self._random.choice
        target = choice(self._paths)
        for pattern, sample in SAMPLES.items():
            target = target.replace(pattern, sample)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            target = choice((self._insert, self._append, self._encode, self._flip, self._cut, self._double))(target)
        if self._random.random() < 0.002:
            target = self._lengthen(target)
        return target[:LONGEST].encode("latin-1")

    def _insert(self, target: str) -> str:
        at = self._random.randint(0, len(target))
        return target[:at] + self._random.choice(PIECES) + target[at:]

    def _append(self, target: str) -> str:
        return target + self._random.choice(PIECES)

    def _encode(self, target: str) -> str:
        """Percent-encode a character, some or all of them."""
        share = self._random.choice((0.05, 0.3, 1))
        form = self._random.choice(("%{:02x}", "%{:02X}", "%25{:02x}"))
        return "".join(form.format(ord(one)) if self._random.random() < share else one for one in target)

    def _flip(self, target: str) -> str:
        at = self._random.randint(0, len(target))
        return target[:at] + target[at : at + 1].swapcase() + target[at + 1 :]

    def _cut(self, target: str) -> str:
        at = self._random.randint(0, len(target))
        return target[:at] + target[at + self._random.randint(1, 3) :]

    def _double(self, target: str) -> str:
        return target.replace("/", "/" * self._random.randint(1, 4))

    def _lengthen(self, target: str) -> str:
        piece = self._random.choice(("/", "a", "%2f", "/../", "%0a", target or "/"))
        more = piece * self._random.randint(1, LONGEST // len(piece))
        return self._random.choice((target + more, more + target))


def path_of(target: bytes) -> str | None:
    """Return the path that the server reads from a target; None if it refuses the target."""
    if target[:1] != b"/" or b"#" in target:
        return None
    try:
        path = httptools.parse_url(target).path
        return None if path is None else urllib.parse.unquote(path.decode("ascii"))
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        return None


def has_control(path: str) -> bool:
    """Return whether a path has a control character."""
    return any(unicodedata.category(one) == "Cc" for one in path)


class Oracle:
    """Which route the router matches, whatever the gate thinks of the path."""

    def __init__(self) -> None:
        self._routing = routes_of_the_program()
        self.paths = table_of(self._routing)

    def route(self, path: str) -> str | None:
        """Return the path of the route that answers; None if no route does."""
        deployment = deployment_path(path)
        path = canonical_path(path) or (path if deployment is None else deployment.path)
        if path in self._routing.hot:
            return path
        scope = {"type": "http", "path": path, "method": "GET", "headers": []}
        for route in self._routing.others.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return route.path
        return None


@dataclass(slots=True)
class Found:
    """What a run has seen."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def expect(self, is_right: bool, target: bytes, said: str) -> None:
        """Note a path on which the gate and the router disagree."""
        if not is_right:
            self.wrong.append(f"{target[:200]!r}: {said}")


class Application:
    """The edge and the gate of a broker in this process, around something that notes what reaches it."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        allowed = AllowedClients(ServerSettings().allowed_clients)
        source_ip = SourceIp((), False, "x-forwarded-for")
        self._edge = EdgeMiddleware(
            AdminGate(self._reached, tokens), source_ip, allowed, Origins(("https://chat.example.org",))
        )
        self._has_passed = False
        self._status = 0

    async def ask(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> int | None:
        """Return the status of a refusal; None if the request reaches the router."""
        self._has_passed = False
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "state": {"connection": None},
        }
        await self._edge(scope, self._unread, self._send)
        return None if self._has_passed else self._status

    async def _reached(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        self._has_passed = True

    async def _unread(self) -> Message:
        raise AssertionError("the body was read")

    async def _send(self, message: Message) -> None:
        self._status = message.get("status", self._status)


def ask_broker(url: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status of a broker's answer over a socket."""
    head = [b"GET %s HTTP/1.1" % target]
    head += [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
    with connected(url) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        return int(connection.makefile("rb").readline().split()[1])


async def look(
    found: Found, oracle: Oracle, closed: Application, open_: Application, target: bytes, method: str
) -> None:
    """Compare what the gate and the router make of one target."""
    path = path_of(target)
    if path is None:
        found.counts["refused by the server"] += 1
        return
    route = oracle.route(path)
    is_admin = route is not None and route not in OPEN_PATHS
    without, with_token = await closed.ask(method, path, HOST), await closed.ask(method, path, [*HOST, *BEARER])
    page, page_in_dev = await closed.ask(method, path, [*HOST, *PAGE]), await open_.ask(method, path, [*HOST, *PAGE])
    if has_control(path):
        found.counts["with a control character"] += 1
        for status in (without, with_token, page, page_in_dev):
            found.expect(status == 400, target, f"a control character, but {status}")
        return
    if is_admin:
        found.counts["of the admin plane"] += 1
        found.expect(without in (400, 401), target, f"{route} is reached without a token: {without}")
        found.expect(with_token in (None, 400), target, f"{route} is refused with a token: {with_token}")
        found.expect(page in (400, 401), target, f"{route} is reached by a page: {page}")
        found.expect(page_in_dev in (400, 403), target, f"{route} is reached by a page in dev mode: {page_in_dev}")
        return
    found.counts["of no route" if route is None else "of calls, models and health"] += 1
    if route is not None:
        found.expect(without in (None, 400), target, f"{route} is refused without a token: {without}")
    if route in CALL_PATHS:
        for status in (page, page_in_dev):
            found.expect(status in (400, 403), target, f"{route} is reached by a page: {status}")


def look_at_broker(found: Found, oracle: Oracle, url: str, target: bytes) -> None:
    """Compare what a broker answers over a socket with what the router would match."""
    if any(one in target for one in b" \r\n"):
        return  # it would end the target, or the line
    found.counts["over a socket"] += 1
    path = path_of(target)
    route = None if path is None else oracle.route(path)
    without, with_token = ask_broker(url, target, HOST), ask_broker(url, target, [*HOST, *BEARER])
    if path is None or has_control(path):
        found.expect(
            (without, with_token) in ((400, 400), (431, 431)), target, f"{without}, {with_token} over a socket"
        )
    elif route is not None and route not in OPEN_PATHS:
        found.expect(without in (400, 401), target, f"{route} answers {without} over a socket without a token")
        found.expect(with_token != 401, target, f"{route} answers 401 over a socket with a token")


def run(seed: int, *, until: Callable[[int], bool], url: str) -> Found:
    """Ask until `until`, which gets the number of paths so far, says that it is enough."""
    found, oracle = Found(seed), Oracle()
    targets = Targets(oracle.paths, seed)
    choose = random.Random(seed)  # noqa: S311
    closed, open_ = Application((TOKEN,)), Application(())

    async def all_of_them() -> None:
        while not until(number := found.counts["paths"]):
            target = targets.next()
            await look(found, oracle, closed, open_, target, choose.choice(METHODS))
            if number % SOCKET_SHARE == 0:
                look_at_broker(found, oracle, url, target)
            found.counts["paths"] += 1

    asyncio.run(all_of_them())
    return found


def main() -> int:
    """Run for some minutes, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.paths")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        url = f"sqlite:///{state}/hero-broker.db"
        with broker(state, ADMIN_TOKEN=TOKEN, HERO_BROKER_DATABASE_URL=url) as running:
            end = time.monotonic() + asked.minutes * 60
            found = run(asked.seed, until=lambda _: time.monotonic() > end, url=running.url)
    for line in found.wrong[:100]:
        print(line)  # noqa: T201
    print(json.dumps({"seed": found.seed, "wrong": len(found.wrong), **found.counts}))  # noqa: T201
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
