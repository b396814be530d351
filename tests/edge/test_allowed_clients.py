"""Which addresses may call."""

from ipaddress import ip_network

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused
from hero_broker.edge.allowed_clients import AllowedClients

ALLOWED = AllowedClients([ip_network("10.0.0.0/8"), ip_network("400::/7")])


@pytest.mark.parametrize("ip", ["10.1.2.3", "5ff::1", "unknown"])
def test_allowed_address_may_call(ip: str) -> None:
    ALLOWED.check(Caller(ip, None), "/v1/models")


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::1"])
def test_other_address_is_refused(ip: str) -> None:
    with pytest.raises(ClientRefused, match=ip):
        ALLOWED.check(Caller(ip, None), "/v1/models")


@pytest.mark.parametrize("caller", [Caller("127.0.0.1", None), Caller("::1", None), Caller("127.0.0.5", "127.0.0.1")])
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/rpc", "/billing/usage", "/openapi.json"])
def test_this_machine_gets_health_and_the_admin_plane_whatever_is_allowed(caller: Caller, path: str) -> None:
    ALLOWED.check(caller, path)


def test_proxy_on_a_trusted_unix_socket_may_say_that_this_machine_asks() -> None:
    ALLOWED.check(Caller("127.0.0.1", "unknown"), "/health/live")


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        pytest.param(Caller("127.0.0.1", None), "/v1/chat/completions", id="a call"),
        pytest.param(Caller("127.0.0.1", None), "/healthy", id="another path"),
        pytest.param(Caller("203.0.113.7", "127.0.0.1"), "/health/live", id="forwarded by a proxy on this machine"),
        pytest.param(Caller("127.0.0.1", "203.0.113.7"), "/health/live", id="claimed by a proxy elsewhere"),
        pytest.param(Caller("203.0.113.7", None), "/rpc", id="another machine"),
    ],
)
def test_no_other_request_passes_the_allowed_clients(caller: Caller, path: str) -> None:
    with pytest.raises(ClientRefused):
        ALLOWED.check(caller, path)


def test_refused_address_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    allowed = AllowedClients([ip_network("10.0.0.0/8")])

    for ip in ("203.0.113.7", "203.0.113.7", "2001:db8::1"):
        with pytest.raises(ClientRefused):
            allowed.check(Caller(ip, None), "/v1/models")

    assert caplog.messages == [
        f"edge: {ip} is refused: it is not in server.allowed_clients" for ip in ("203.0.113.7", "2001:db8::1")
    ]
