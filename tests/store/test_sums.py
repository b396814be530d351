"""The rows of a ledger add up to its reports."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.calls import Outcome
from hero_broker.core.money import MAX_COST_USD, NANO
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.pricing.cost import cost_of, cost_parts
from hero_broker.pricing.price import Price
from hero_broker.store.database import open_database
from hero_broker.store.usage import UsagePlan, groups
from tests.ledger.rows import row
from tests.pricing.test_cost import PRICES, USAGES

CALLS = st.lists(
    st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), USAGES, PRICES, st.sampled_from(Outcome)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(CALLS)
@pytest.mark.slow
def test_parts_make_costs_and_costs_make_reports(calls: list[tuple[str, Usage, Price, Outcome]]) -> None:
    rows = []
    spent: dict[str, int] = defaultdict(int)
    for ip, usage, price, outcome in calls:
        ok = outcome is Outcome.OK
        cost = cost_of(usage, price, ok=ok)
        amounts = [part.usd for part in cost_parts(usage, price, ok=ok)]
        if cost is not None:
            assert cost == round(sum(amount for amount in amounts if amount is not None) * 1_000_000_000)
        if (cost or 0) > MAX_COST_USD * NANO:  # such a call has no cost
            cost = None
        spent[ip] += cost or 0
        rows.append(
            row(
                ip=ip,
                outcome=outcome,
                cost_nano_usd=cost,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                usage_source=UsageSource.REPORTED,
            )
        )

    with open_database("sqlite://") as database:
        if rows:
            database.append(rows, [])
        with database.reading() as connection:
            by_ip = groups(connection, UsagePlan(group_by=("ip",)))
            totals = [group.totals for group in groups(connection, UsagePlan())]

    assert {one.key[0]: one.totals.cost_nano_usd for one in by_ip} == spent
    assert sum(one.cost_nano_usd for one in totals) == sum(spent.values())
    assert sum(one.unpriced_requests for one in totals) == sum(one.cost_nano_usd is None for one in rows)
    assert sum(one.input_tokens for one in totals) == sum(one.input_tokens or 0 for one in rows)
