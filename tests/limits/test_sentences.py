"""What `check-config` says of a limit."""

from decimal import Decimal
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest

from hero_broker.limits.limit import CONCURRENT, REQUESTS, Limit, LimitMatch
from hero_broker.limits.sentences import sentence

EXCEPTED = (ip_network("10.0.0.9/32"), ip_network("10.1.0.0/16"))


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (
            Limit("l", REQUESTS, 6000, burst=30),
            "at most 6,000 requests per minute, 30 at once, for all together; it counts all calls",
        ),
        (
            Limit("l", REQUESTS, 1, LimitMatch(network=ip_network("400::/7"), model="m"), ("prefix", "model"), 1),
            "at most 1 request per minute, 1 at once, for each prefix (/32, /64 of IPv6) and each model; "
            "it counts calls from 400::/7 to the model m",
        ),
        (
            Limit("l", CONCURRENT, 1, LimitMatch(ip="10.0.0.1", kind="tts", context="c", provider="p")),
            "at most 1 call in flight, for all together; "
            "it counts calls from 10.0.0.1 with the context c to the provider p of the kind tts",
        ),
        (
            Limit("l", "tokens", 60_000, burst=1, per=("ip",)),
            "at most 60,000 tokens per minute, 1 at once, for each address; it counts all calls",
        ),
        (
            Limit("l", CONCURRENT, 1, LimitMatch(label="lab", model="m"), ("label", "ip")),
            "at most 1 call in flight, for each label and each address; "
            "it counts calls with the label lab to the model m",
        ),
        (
            Limit("l", CONCURRENT, 2, per=("ip", "context", "provider", "kind"), mode="shadow"),
            "at most 2 calls in flight, for each address and each context and each provider and each kind of call; "
            "it counts all calls; in shadow mode, so it refuses nothing",
        ),
        (
            Limit("l", "usd", 20_500_000_000, per=("ip",), window="month", zone=ZoneInfo("Europe/Brussels")),
            "at most 20.5 USD a month (Europe/Brussels), for each address; it counts all calls",
        ),
        (
            Limit("l", "input_tokens", 1, window="hour"),
            "at most 1 input token an hour (UTC), for all together; it counts all calls",
        ),
        (
            Limit("l", "tokens", 9, window="day", mode="warn", warn_at=(Decimal("0.5"), Decimal("0.80"), Decimal(1))),
            "at most 9 tokens a day (UTC), for all together; it counts all calls; "
            "it warns when 50 % and 80 % and 100 % are spent; in warn mode, so it refuses nothing",
        ),
        (
            Limit("l", "usd", 10**9, window="day", unpriced="allow"),
            "at most 1 USD a day (UTC), for all together; it counts all calls; calls without a price pass",
        ),
        (
            Limit("l", REQUESTS, 2, LimitMatch(network=ip_network("10.0.0.0/8"), excepted=EXCEPTED), burst=1),
            "at most 2 requests per minute, 1 at once, for all together; "
            "it counts calls from 10.0.0.0/8 except from 10.0.0.9 and 10.1.0.0/16",
        ),
        (
            Limit("l", REQUESTS, 2, LimitMatch(excepted=EXCEPTED[:1]), burst=1),
            "at most 2 requests per minute, 1 at once, for all together; it counts all calls except from 10.0.0.9",
        ),
        (
            Limit("l", "tokens", 10**6, window="day", on_exceed="cut"),
            "at most 1,000,000 tokens a day (UTC), for all together; it counts all calls; it cuts streams",
        ),
        (
            Limit("l", "requests", 1000, window="ever"),
            "at most 1,000 requests for ever, for all together; it counts all calls",
        ),
    ],
)
def test_sentence_says_how_many_of_whom_and_which_calls(limit: Limit, text: str) -> None:
    assert sentence(limit) == text
