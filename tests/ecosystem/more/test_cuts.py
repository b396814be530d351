"""Agents whose streams the provider breaks off after each of their events: no call is unbilled."""

import pytest

from tests.ecosystem import agents
from tests.ecosystem.agent_provider import DONE, Work, cost
from tests.ecosystem.place import Place, Row

MESSAGES_EVENTS = 8  # of a stream of text
WHOLE_BLOCK = 6  # events until the text is complete
POLITELY = pytest.mark.parametrize("politely", [False, True], ids=["connection-ends", "stream-ends"])


def broken_rows(place: Place, work: Work) -> list[Row]:
    """Return the rows of calls that broke off, after all whole ones were found right."""
    rows = place.rows()
    broken = [row for row in rows if row.outcome != "ok"]

    assert [row for row in rows if row.outcome == "ok"] == work.books
    assert [(row.kind, row.model, row.stream) for row in broken] == [
        (line.kind, line.model, True) for line, _ in work.broken
    ]
    return broken


@POLITELY
@pytest.mark.parametrize("cuts", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], ids=str)
def test_codex_repeats_a_call_that_breaks_off_and_each_is_billed(
    agents_place: Place, work: Work, cuts: list[int], politely: bool
) -> None:
    work.cuts, work.ends_politely = [*cuts], politely

    said = agents.codex(agents_place)

    broken = broken_rows(agents_place, work)
    assert said == DONE
    assert [events for _, events in work.broken] == cuts
    assert len(work.books) == 1
    for row in broken:
        assert row == Row(
            "responses",
            "gpt-5-codex",
            cost(row.units),
            row.units,
            stream=True,
            usage_source="estimated",
            outcome="provider_error",
            error_code="stream_broke_off" if politely else "provider_unreachable",
        )
        assert row.units["input_tokens"] > 1000


@POLITELY
@pytest.mark.parametrize("events", range(MESSAGES_EVENTS))
def test_claude_code_repeats_a_call_that_breaks_off_in_its_text_and_each_is_billed(
    agents_place: Place, work: Work, events: int, politely: bool
) -> None:
    work.cuts, work.ends_politely = [events], politely

    ended = agents.claude_code(agents_place)

    (row,) = broken_rows(agents_place, work)
    ((line, _),) = work.broken
    # As without a broker, if the connection breaks: it does not repeat a call whose text is complete.
    is_error = events >= WHOLE_BLOCK
    assert len(work.books) == (0 if is_error else 1)
    assert ended["is_error"] is is_error
    assert row == Row(
        "messages",
        "claude-sonnet-4-5",
        cost(row.units),
        row.units,
        stream=True,
        usage_source="reported" if events == MESSAGES_EVENTS - 1 else "estimated",
        outcome="provider_error",
        error_code="stream_broke_off" if politely else "provider_unreachable",
    )
    if events == MESSAGES_EVENTS - 1:
        assert row.cost_nano_usd == line.cost_nano_usd
    elif events:
        assert {**row.units, "output_tokens": 0} == {**line.units, "output_tokens": 0}
    else:
        assert row.units["input_tokens"] > 1000
