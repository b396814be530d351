"""The text of a cost's shares: what a row stores is what a report reads."""

import json

import pytest

from hero_broker.core.cost_shares import CostShare, decode_shares, encode_shares
from hero_broker.core.usage import Usage

SHARES = (CostShare("m", "p", Usage(input_tokens=3, output_tokens=0)), CostShare("n\0", "q", Usage(images=1)))


def test_text_has_the_known_units_of_each_share() -> None:
    text = encode_shares(SHARES)

    assert json.loads(text) == [
        {"model": "m", "price_id": "p", "usage": {"input_tokens": 3, "output_tokens": 0}},
        {"model": "n\0", "price_id": "q", "usage": {"images": 1}},
    ]
    assert "\0" not in text  # PostgreSQL stores none
    assert decode_shares(text) == SHARES


@pytest.mark.parametrize("text", [None, "", "text", "{}", "[1]", '[{"model":"m"}]', '[{"model":1,"price_id":"p"}]'])
def test_other_text_has_no_shares(text: str | None) -> None:
    assert decode_shares(text) == ()
