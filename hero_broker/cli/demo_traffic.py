"""Makes the demo's calls: of every kind, from several loopback addresses."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from hero_broker.cli.notices import counted
from hero_broker.client import Client
from hero_broker.client.jsonrpc import base_url
from hero_broker.client.models import UsageByIp
from hero_broker.kinds.registry import KINDS
from hero_broker.providers.fake.app import FAKES

STORED_WITHIN_S, LOOK_EVERY_S = 30.0, 0.02
# If a platform lacks a loopback address, a trusted proxy's header stands in for it (RFC 5737, RFC 3849). The proxy is a
# Unix socket: a trusted address would be warned of whenever it sends no header, as the demo's own queries do.
STAND_INS = {"127.0.0.1": "192.0.2.1", "127.0.0.2": "192.0.2.2", "127.0.0.3": "192.0.2.3", "::1": "2001:db8::1"}

SETTINGS = """
[server]
trusted_proxies = ["unix"]
allowed_clients = ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "2001:db8::/32"]
"""


@dataclass(frozen=True, slots=True)
class DemoCaller:
    """One address that calls."""

    local_address: str | None  # what the client's socket is bound to
    stands_for: str | None  # the value of X-Forwarded-For, if the platform lacks the address
    billed: str


def callers(can_bind: Callable[[str], bool]) -> list[DemoCaller]:
    """Return four callers: on loopback addresses if the platform has them, else behind a trusted proxy's header."""
    return [
        DemoCaller(address, None, address) if can_bind(address) else DemoCaller(None, stand_in, stand_in)
        for address, stand_in in STAND_INS.items()
    ]


def can_bind(address: str) -> bool:
    """Return whether this machine has `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def call_all(urls: Mapping[socket.AddressFamily, str], who: Sequence[DemoCaller]) -> Iterator[str]:
    """Make calls of all kinds, streaming and not, from each caller; yield each address when it is done.

    `urls` needs that of a Unix socket, `unix:PATH`, if an address is stood in for.

    Raises:
        httpx.HTTPError: a call failed.
    """
    for count, caller in enumerate(who, start=1):
        with _client(urls, caller) as client:
            for number in range(count):
                messages = [{"role": "user", "content": " ".join(["word"] * 40)}]
                body = {"model": "fake-chat", "stream": number % 2 == 1, "messages": messages}
                client.post("/v1/chat/completions", json=body).raise_for_status()
            _call_other_kinds(client)
        yield caller.billed


def _client(urls: Mapping[socket.AddressFamily, str], caller: DemoCaller) -> httpx.Client:
    """Return a client that calls from the caller's address, or over the Unix socket as its proxy."""
    if caller.stands_for is not None:
        base, path = base_url(urls[socket.AF_UNIX])
        transport = httpx.HTTPTransport(uds=path)
        return httpx.Client(base_url=base, transport=transport, headers={"x-forwarded-for": caller.stands_for})
    family = socket.AF_INET6 if ":" in (caller.local_address or "") else socket.AF_INET
    transport = httpx.HTTPTransport(local_address=caller.local_address)
    return httpx.Client(base_url=urls[family], transport=transport)


def _call_other_kinds(client: httpx.Client) -> None:
    """Make one call of each kind but the first."""
    for fake in FAKES[1:]:
        kind = KINDS[fake.kind]
        content_type, body = kind.example_body(fake.model)
        path = next(iter(kind.paths))
        client.post(path, content=body, headers={"content-type": content_type}).raise_for_status()


class RowsPending(Exception):
    """Rows are not in the store in time."""


def bill(url: str, within_s: float = STORED_WITHIN_S) -> UsageByIp:
    """Return what each address spent, once every row is in the store.

    Raises:
        RowsPending: rows are still not in the store after `within_s`.
        ClientError: the broker does not answer.
    """
    ends_at = time.monotonic() + within_s
    with Client(url) as client:
        while waiting := client.system.health().journal_pending:
            if time.monotonic() > ends_at:
                raise RowsPending(
                    f"not in the ledger after {within_s:.0f} s: {counted(waiting, 'row')}; is its database locked?"
                )
            time.sleep(LOOK_EVERY_S)
        return client.billing.usage_by_ip()
