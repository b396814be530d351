"""What a caller learns of its own usage: never anything of another address, whatever it sends."""

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.e2e_support import Broker, broker, chat
from tests.waits import wait_until

TOKEN = "admin-token"
LIMITS = """
[server]
trusted_proxies = ["127.0.0.9"]
allowed_clients = ["127.0.0.1/32", "127.0.0.2/32", "127.0.0.9/32", "192.0.2.0/24"]
[[limits]]
shared = false
name = "own"
unit = "requests"
amount = 100
window = "day"
per = ["ip"]
[[limits]]
shared = false
name = "shared"
unit = "requests"
amount = 777
window = "month"
[[limits]]
shared = false
name = "of-another"
unit = "requests"
amount = 100
window = "day"
match = { ip = "127.0.0.2" }
[[limits]]
shared = false
name = "watched"
unit = "requests"
amount = 100
window = "day"
mode = "shadow"
"""


def asked(running: Broker, path: str, address: str = "127.0.0.1", **headers: str) -> httpx.Response:
    """Send a GET from `address`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.get(running.url + path, headers=named)


def called(running: Broker, address: str, **headers: str) -> str:
    """Make a call from `address`, and return its id."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.post(f"{running.url}/v1/chat/completions", json=chat(), headers=named).headers["x-request-id"]


def configured(tmp_path: Path) -> tuple[str, str]:
    config = tmp_path / "hero-broker.toml"
    config.write_text(LIMITS)
    return "--config", str(config)


def rpc(running: Broker, method: str, token: str, **params: object) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(f"{running.url}/rpc", json=request, headers={"authorization": f"Bearer {token}"}).json()


@pytest.mark.usefixtures("store")
def test_caller_sees_its_own_usage_and_nothing_of_another_address(tmp_path: Path) -> None:
    with broker(tmp_path / "state", *configured(tmp_path), ADMIN_TOKEN=TOKEN) as running:
        mine = called(running, "127.0.0.1")
        others = [called(running, "127.0.0.2") for _ in range(2)]
        proxied = called(running, "127.0.0.9", x_forwarded_for="192.0.2.7")
        running.usage()
        forged = {"x_forwarded_for": "127.0.0.2", "forwarded": "for=127.0.0.2", "x_real_ip": "127.0.0.2"}
        own = asked(running, "/v1/usage", **forged)
        of_proxied = asked(running, "/v1/usage", "127.0.0.9", x_forwarded_for="192.0.2.7").json()["data"]
        other_of_proxy = asked(running, "/v1/usage", "127.0.0.9", x_forwarded_for="192.0.2.8").json()["data"]
        row = asked(running, f"/v1/usage/{mine}", **forged)
        hidden = [asked(running, f"/v1/usage/{one}", **forged) for one in (*others, proxied, "unknown")]
        over_rpc = rpc(running, "billing.me", TOKEN)["result"]
        refused_rpc = rpc(running, "billing.me", "wrong")
        stranger = asked(running, "/v1/usage", "127.0.0.5")
        named = asked(running, "/v1/usage?ip=127.0.0.2")

    data = own.json()["data"]
    assert (own.status_code, data["ip"]) == (200, "127.0.0.1")
    for window in (data["today"], data["month"]):
        assert (window["totals"]["requests"], [one["model"] for one in window["models"]]) == (1, ["fake-chat"])
        assert window["since"] <= own.json()["as_of"] < window["until"]
    assert {one["name"]: (one["amount"], one["used"], one["remaining"]) for one in data["limits"]} == {
        "server.max_calls_per_address": (750, 0, 750),
        "server.max_calls": (None, None, None),
        "own": (100, 1, 99),
        "shared": (None, None, None),
    }
    assert "777" not in own.text
    assert (of_proxied["ip"], of_proxied["month"]["totals"]["requests"]) == ("192.0.2.7", 1)
    assert (other_of_proxy["ip"], other_of_proxy["month"]["totals"]["requests"]) == ("192.0.2.8", 0)
    assert (row.json()["data"]["request_id"], row.json()["data"]["ip"]) == (mine, "127.0.0.1")
    assert row.json()["data"]["cost"]["lines"]
    assert not row.json()["data"].keys() & {"seq", "peer_ip", "price_id", "provider_key", "label", "period"}
    assert {(one.status_code, one.text) for one in hidden} == {(404, hidden[-1].text)}
    assert over_rpc["data"]["month"] == data["month"]
    assert refused_rpc["error"]["code"] == -32001
    assert (stranger.status_code, named.status_code) == (403, 400)


def test_operator_can_switch_self_service_off(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[limiting]\nself_service = "off"\n')
    with broker(tmp_path / "state", "--config", str(config), ADMIN_TOKEN=TOKEN) as running:
        mine = called(running, "127.0.0.1")
        running.usage()
        answers = [asked(running, path) for path in ("/v1/usage", "/v1/usage?ip=x", f"/v1/usage/{mine}")]
        over_rpc = [
            rpc(running, "billing.me", TOKEN)["error"],
            rpc(running, "billing.my_request", TOKEN, request_id=mine)["error"],
        ]
        with_cost = httpx.post(
            f"{running.url}/v1/chat/completions", json=chat(), headers={"x-hero-want": "cost"}
        ).headers

    assert {(one.status_code, one.json()["error"]["code"]) for one in answers} == {(404, "self_service_off")}
    assert [(one["code"], one["data"]["reason"]) for one in over_rpc] == [
        (-32601, 'The settings have limiting.self_service = "off".')
    ] * 2
    assert with_cost["x-hero-cost-usd"]


@pytest.mark.parametrize("name", ["Asia/Kolkata", "Pacific/Kiritimati", "America/New_York"])
def test_today_and_this_month_are_those_of_a_zone(tmp_path: Path, name: str) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN=TOKEN) as running:
        called(running, "127.0.0.1")
        running.usage()
        answer = asked(running, f"/v1/usage?tz={name}").json()
        over_rpc = rpc(running, "billing.me", TOKEN, tz=name)["result"]["data"]

    for window, days in (("today", 1), ("month", 31)):
        part = answer["data"][window]
        begins, ends = (datetime.fromtimestamp(part[bound], ZoneInfo(name)) for bound in ("since", "until"))
        assert (begins.time(), ends.time()) == (time(), time())
        assert part["since"] <= answer["as_of"] < part["until"]
        assert timedelta(0) < ends - begins <= timedelta(days=days)
        assert part["totals"]["requests"] == 1
        assert over_rpc[window] == part


@pytest.mark.parametrize("name", ["Europe/Brussel", "", "../etc", "Europe"])
def test_unknown_zone_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN=TOKEN) as running:
        refused = asked(running, f"/v1/usage?tz={name}")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tz")


HOSTILE = ["%00", "%27%20OR%201=1--", "..%2f..%2fbilling%2fusage", "a" * 101, "%F0%9F%98%80", "a%2Fb", "%25", "_", " "]


def test_hostile_ids_and_paths_find_nothing(tmp_path: Path) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN=TOKEN) as running:
        statuses = {}
        for number, one in enumerate(HOSTILE):
            address = f"127.0.0.{10 + number}"  # each has its own allowance
            statuses[one] = asked(running, f"/v1/usage/{one}", address).status_code
        slashes = [
            asked(running, path, "127.0.0.8").status_code
            for path in ("/v1/usage/", "/v1//usage", "//v1/usage", "/v1/usage/../../billing/usage", "/v1/usage/x/y")
        ]
        posted = httpx.post(f"{running.url}/v1/usage")

    assert set(statuses.values()) <= {400, 404}, statuses
    assert slashes == [404, 404, 404, 401, 404]
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


def test_callers_on_a_unix_socket_see_what_such_callers_used(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    with broker(tmp_path / "state", "--listen", f"unix:{path}", ADMIN_TOKEN=TOKEN) as running:
        over_tcp = called(running, "127.0.0.1")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://broker") as client:
            mine = client.post("/v1/chat/completions", json=chat()).headers["x-request-id"]
            running.usage()
            data = client.get("/v1/usage").json()["data"]
            statuses = [client.get(f"/v1/usage/{one}").status_code for one in (mine, over_tcp)]

    assert (data["ip"], data["month"]["totals"]["requests"]) == ("unknown", 1)
    assert statuses == [200, 404]


def test_requests_of_one_address_are_bounded_and_delay_no_other(tmp_path: Path) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN=TOKEN) as running:
        answers = [asked(running, "/v1/usage", "127.0.0.2") for _ in range(30)]
        other = asked(running, "/v1/usage", "127.0.0.3")
        called(running, "127.0.0.2")
        wait_until(lambda: asked(running, "/v1/usage", "127.0.0.2").status_code == 200)

    refused = [one for one in answers if one.status_code != 200]
    assert refused
    assert {(one.status_code, one.json()["error"]["code"]) for one in refused} == {(429, "rate_limit_exceeded")}
    assert {one.headers["retry-after"] for one in refused} == {"1"}
    assert other.status_code == 200


def test_page_never_reads_it(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nallowed_origins = ["https://chat.example.org"]\n')
    with broker(tmp_path / "state", "--config", str(config), ADMIN_TOKEN=TOKEN) as running:
        answers = [
            asked(running, path, origin="https://chat.example.org")
            for path in ("/v1/usage", "/v1/usage/0", "/v1/models")
        ]

    allowed = ["access-control-allow-origin" in answer.headers for answer in answers]
    assert allowed == [False, False, True]


def test_call_that_asks_is_told_its_cost_as_the_ledger_has_it(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[[limits]]\nname = "own"\nunit = "usd"\namount = 1\nwindow = "month"\nper = ["ip"]\n')
    with broker(tmp_path / "state", "--config", str(config)) as running:
        url, wants = f"{running.url}/v1/chat/completions", {"X-Hero-Want": "cost"}
        whole = httpx.post(url, json=chat(), headers=wants)
        stream = httpx.post(url, json=chat(stream=True), headers=wants)
        plain = httpx.post(url, json=chat(stream=True))
        running.usage()
        ids = [one.headers["x-request-id"] for one in (whole, stream)]
        costs = [asked(running, f"/v1/usage/{one}").json()["data"]["cost"]["exact_usd"] for one in ids]
        (left,) = [one for one in asked(running, "/v1/usage").json()["data"]["limits"] if one["name"] == "own"]

    assert whole.headers["x-hero-cost-usd"] == costs[0]
    comment = next(event for event in stream.text.split("\n\n") if event.startswith(":"))
    lines = dict(line.removeprefix(": ").split(": ") for line in comment.split("\n"))
    assert (lines["x-hero-cost-usd"], lines["x-hero-cost-source"]) == (costs[1], "price")
    assert stream.text.endswith(f"{comment}\n\ndata: [DONE]\n\n")
    assert left["remaining"] < float(lines["x-hero-budget-left"]) < float(whole.headers["x-hero-budget-left"])
    assert "x-hero" not in plain.text + str(plain.headers)
