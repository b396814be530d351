"""Limits of a whole broker: refused unread, in the shape of each wire, with exact times; nothing refused is billed."""

import http.client
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hero_broker.client import Client, RpcError, methods, models
from hero_broker.core.money import NANO
from tests.e2e.provider import Provider, answering
from tests.e2e_support import broker, chat
from tests.waits import wait_until

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43}}'
)
LIMITS = """
[[limits]]
name = "per-machine"
unit = "requests"
amount = 2
window = "minute"
burst = 1
per = ["ip"]
match = { network = "127.0.0.0/31" }
[[limits]]
name = "small-model"
unit = "requests"
amount = 1
window = "minute"
match = { model = "m", ip = "127.0.0.2" }
[[limits]]
name = "watched"
unit = "concurrent"
amount = 1
mode = "shadow"
[limiting]
headers = ["openai", "ietf"]
"""


def unread(url: str, path: str, address: str) -> httpx.Response:
    """Ask from `address` without sending the body that is announced."""
    where = httpx.URL(url)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=20, source_address=(address, 0))
    try:
        connection.putrequest("POST", path)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000000")
        connection.endheaders()
        answer = connection.getresponse()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
    finally:
        connection.close()


def called(url: str, provider: Provider, address: str) -> httpx.Response:
    """Make a call from `address`, which the provider answers."""
    with answering(provider, ANSWER):
        return asked(url, address)


def asked(url: str, address: str) -> httpx.Response:
    """Make a call from `address`."""
    with httpx.Client(base_url=url, transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.post("/v1/chat/completions", json=CHAT, timeout=20)


def test_limits_refuse_calls_and_bill_none_of_them(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(LIMITS + provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running:
            first = called(running.url, provider, "127.0.0.1")
            refused = unread(running.url, "/v1/chat/completions", "127.0.0.1")
            refused_messages = unread(running.url, "/v1/messages", "127.0.0.1")
            called(running.url, provider, "127.0.0.2")
            refused_model = asked(running.url, "127.0.0.2")
            totals = running.usage()["totals"]

    assert first.status_code == 200
    assert {name: first.headers[name] for name in first.headers if "ratelimit" in name} == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "30s",
        "ratelimit-policy": '"per-machine";q=2;w=60, "watched";q=1;qu="concurrent-requests"',
        "ratelimit": '"per-machine";r=0;t=30, "watched";r=0',
    }
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "true")
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert error["message"].startswith("The limit 'per-machine' of 2 requests per minute is reached for 127.0.0.1;")
    assert 20 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert (refused_messages.status_code, refused_messages.json()["type"]) == (429, "error")
    assert refused_messages.json()["error"]["type"] == "rate_limit_error"
    assert (refused_model.status_code, refused_model.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 50 <= int(refused_model.headers["retry-after"]) <= 60
    assert (totals["requests"], totals["total_cost_nano_usd"]) == (2, str(2 * 25_970))


@pytest.mark.parametrize("body", [b"{", b'{"model":"other","messages":[]}'])
def test_request_that_is_refused_for_another_reason_tells_what_is_left(tmp_path: Path, body: bytes) -> None:
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(LIMITS + provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running:
            headers = {"content-type": "application/json"}
            response = httpx.post(f"{running.url}/v1/chat/completions", content=body, headers=headers, timeout=20)

    assert response.status_code in (400, 404)
    assert response.headers["x-ratelimit-remaining-requests"] == "1"


def test_limit_that_is_set_and_its_grants_are_kept_over_a_restart(tmp_path: Path) -> None:
    definition: methods.NewLimit = {
        "unit": "usd",
        "amount": Decimal("0.1"),
        "window": "month",
        "per": ("ip",),
        "match": {"provider": "fake"},
    }
    config = tmp_path / "hero-broker.toml"
    config.write_text(LIMITS)
    with broker(tmp_path / "state", "--fake", "--config", str(config)) as running, Client(running.url) as client:
        made = client.limits.set("lab-month", definition)
        granted = client.limits.grant("lab-month", Decimal("0.05"), "a demonstration", {"ip": "::ffff:127.0.0.3"})
        with pytest.raises(RpcError) as refused:
            client.limits.set("per-machine", {"unit": "concurrent", "amount": Decimal(4)})

    with broker(tmp_path / "state", "--fake", "--config", str(config)) as running, Client(running.url) as client:
        kept = client.limits.get("lab-month")
        listed = httpx.get(f"{running.url}/admin/limits/per-machine", timeout=20).json()["data"]
        removed = httpx.delete(f"{running.url}/admin/limits/lab-month", timeout=20)
        gone = httpx.get(f"{running.url}/admin/limits/lab-month", timeout=20)

    assert made.data.description == (
        "at most 0.1 USD a month (UTC), for each address; it counts calls to the provider fake"
    )
    assert kept.data.definition is not None
    assert (kept.data.definition.amount, kept.data.definition.match) == (
        Decimal("0.1"),
        models.LimitMatch(provider="fake"),
    )
    assert kept.data.grants == (granted.data,)
    assert (granted.data.subject, granted.data.amount) == ({"ip": "127.0.0.3"}, Decimal("0.05"))
    assert (refused.value.code, refused.value.reason) == (-32005, "read_only")
    assert listed["source"] == "file"
    assert (removed.status_code, gone.status_code) == (200, 404)


def test_refusal_is_explained_before_and_after_the_call(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(LIMITS + provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running, Client(running.url) as client:
            before = client.limits.explain("127.0.0.1", "m").data
            called(running.url, provider, "127.0.0.1")
            for _ in range(3):
                after = client.limits.explain("127.0.0.1", "m", body_bytes=20, max_output_tokens=5).data
            other = httpx.get(f"{running.url}/admin/limits/explain?ip=127.0.0.3&model=m", timeout=20).json()["data"]
            refused = asked(running.url, "127.0.0.1")
            with pytest.raises(RpcError) as unknown:
                client.limits.explain("127.0.0.1", "mm")

    names = ["server.max_calls_per_address", "server.max_calls", "per-machine", "watched"]
    assert [one.name for one in before.limits] == names
    assert (before.admitted, before.refused_by, before.error) == (True, None, None)
    assert (after.admitted, after.refused_by) == (False, "per-machine")
    assert after.error is not None
    error = refused.json()["error"]
    assert (
        (after.error.status, after.error.code) == (refused.status_code, error["code"]) == (429, "rate_limit_exceeded")
    )
    assert after.error.message.partition(";")[0] == error["message"].partition(";")[0]
    assert (other["admitted"], [one["name"] for one in other["limits"]]) == (True, [*names[:2], "watched"])
    assert (unknown.value.code, unknown.value.param) == (-32602, "model")


def test_limit_that_is_set_refuses_grants_admit_and_its_removal_ends_it(tmp_path: Path) -> None:
    with broker(tmp_path / "state", "--fake") as running, Client(running.url) as client:
        status(running.url)
        wait_until(lambda: running.usage()["data"] != [])
        client.limits.set("one", {"unit": "requests", "amount": Decimal(2), "window": "day", "per": ("ip",)})
        seen = [first_answer(running.url)]
        seen += [status(running.url), status(running.url, "127.0.0.2")]
        made = client.limits.grant("one", Decimal(1), "a demonstration", {"ip": "127.0.0.1"}).data
        seen += [status(running.url), status(running.url)]
        (used,) = client.limits.status("one", subject={"ip": "127.0.0.1"}).data
        client.limits.grant("one", Decimal(7), "a mistyped amount", {"ip": "127.0.0.1"})
        seen.append(status(running.url))
        client.limits.revoke(made.grant_id + 1)
        seen.append(status(running.url))
        client.limits.remove("one")
        seen.append(status(running.url))

    # The call before the limit counts; the second is the first that is admitted under it.
    assert seen == [200, 402, 200, 200, 402, 200, 402, 200]
    assert [int(one) for one in (used.used, used.granted, used.remaining)] == [3, 1, 0]


def status(url: str, source: str = "127.0.0.1", context: str = "") -> int:
    """Make a call; return its status."""
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(base_url=url, transport=transport, timeout=20, headers={"x-hero-context": context}) as client:
        return client.post("/v1/chat/completions", json=chat()).status_code


def is_known(client: Client, context: str) -> bool:
    """Return whether the broker knows what is spent of all budgets that count calls with a context."""
    return all(one.state for one in client.limits.explain("127.0.0.1", "fake-chat", context=context).data.limits)


def first_answer(url: str) -> int:
    """Make a call as soon as the broker knows what is spent of its limits; return its status."""
    statuses: list[int] = []

    def is_known() -> bool:
        statuses.append(status(url))
        return statuses[-1] != 503

    wait_until(is_known)
    return statuses[-1]


# What a call of the fake provider uses of each unit of budgets, by its row.
UNITS: dict[str, Callable[[dict[str, Any]], Decimal]] = {
    "usd": lambda row: Decimal(row["cost_nano_usd"]) / NANO,
    "tokens": lambda row: Decimal(row["input_tokens"] + row["output_tokens"]),
    "input_tokens": lambda row: Decimal(row["input_tokens"]),
    "output_tokens": lambda row: Decimal(row["output_tokens"]),
    "requests": lambda _row: Decimal(1),
}


def test_call_that_reaches_the_amount_passes_and_the_next_is_refused_in_each_unit(tmp_path: Path) -> None:
    """Two calls reach each amount exactly; the third is refused, raw and through the official SDK, which asks once."""
    seen, attempts = {}, {}
    with broker(tmp_path / "state", "--fake") as running, Client(running.url) as client:
        status(running.url, "127.0.0.2")
        wait_until(lambda: running.usage()["data"] != [])
        (row,) = httpx.get(f"{running.url}/billing/requests", timeout=20).json()["data"]
        for unit, used in UNITS.items():
            client.limits.set(
                unit,
                {
                    "unit": unit,
                    "amount": 2 * used(row),
                    "window": "day",
                    "hold": "none",
                    "match": {"context": unit},
                },
            )
        for unit in UNITS:
            wait_until(lambda: is_known(client, unit))  # noqa: B023
            seen[unit] = tuple(status(running.url, context=unit) for _ in range(3))
            headers = {"x-hero-context": unit}
            with openai.OpenAI(api_key="none", base_url=f"{running.url}/v1", default_headers=headers) as asking:
                with pytest.raises(openai.APIStatusError) as refused:
                    asking.chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": "hello"}])
                attempts[unit] = (refused.value.status_code, refused.value.code, unit in refused.value.message)
        counts = {one.name: one.refused for one in client.limits.list().data if one.name in UNITS}

    assert seen == dict.fromkeys(UNITS, (200, 200, 402))
    assert attempts == dict.fromkeys(UNITS, (402, "budget_exceeded", True))
    assert counts == dict.fromkeys(UNITS, 2)


def test_sdk_waits_as_long_as_a_rate_says_and_asks_again(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[[limits]]\nname = "rate"\nunit = "requests"\namount = 60\nwindow = "minute"\nburst = 1\n')
    with broker(tmp_path / "state", "--fake", "--config", str(config)) as running, Client(running.url) as client:
        with openai.OpenAI(api_key="none", base_url=f"{running.url}/v1") as asking:
            for _ in range(2):
                asking.chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": "hello"}])
        refused = next(one.refused for one in client.limits.list().data if one.name == "rate")

    assert refused == 1
