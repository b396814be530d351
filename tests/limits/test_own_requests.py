"""How often a caller may ask what it has used."""

from contextlib import ExitStack

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import RateLimitExceeded, TooManyCalls
from hero_broker.limits.own_requests import AT_ONCE, AT_ONCE_IN_ALL, BURST, OwnRequests

ME, OTHER = Caller("10.0.0.1", None), Caller("10.0.0.2", None)


def test_burst_of_one_address_is_admitted_and_no_more() -> None:
    requests = OwnRequests()
    for _ in range(BURST):
        with requests.request(ME):
            pass

    with pytest.raises(RateLimitExceeded) as refused, requests.request(ME):
        pass
    with requests.request(OTHER):
        pass

    assert refused.value.retry_after_s == 1


def test_few_requests_of_one_address_run_at_once() -> None:
    requests = OwnRequests()
    with ExitStack() as running:
        for _ in range(AT_ONCE):
            running.enter_context(requests.request(ME))

        with pytest.raises(TooManyCalls), requests.request(ME):
            pass
        with requests.request(OTHER):
            pass

    with requests.request(ME):
        pass


def test_few_requests_of_all_addresses_run_at_once() -> None:
    requests = OwnRequests()
    with ExitStack() as running:
        for number in range(AT_ONCE_IN_ALL):
            running.enter_context(requests.request(Caller(f"10.0.1.{number}", None)))

        with pytest.raises(TooManyCalls), requests.request(ME):
            pass

    with requests.request(ME):
        pass
