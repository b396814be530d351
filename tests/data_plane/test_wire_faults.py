"""A call of each wire that is cut at any event, and at any byte: one row, at the cost of the provider's books."""

from bisect import bisect_right
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hero_broker.core.errors import ProviderReset
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.call_run import AFTER_LAST_S
from hero_broker.kinds.registry import KINDS
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import KEY, LIMITS, PAUSE, Head, Play, Script, json_call, run, skip, turns
from tests.wires import INPUT, OUTPUT, PRICE, WIRES, Wire

EVENTS = Head(content_type="text/event-stream")
LONG = replace(LIMITS, max_answer_bytes=100_000)


@dataclass(frozen=True)
class Cut:
    """What a provider sends before something happens, and what it has yet to send."""

    before: tuple[bytes, ...]
    after: bytes


Fate = Callable[[Play], Coroutine[None, None, None]]


async def client_leaves(play: Play) -> None:
    play.client.leave()
    await turns()
    play.provider.go_on()


async def client_leaves_and_its_drain_ends(play: Play) -> None:
    play.client.leave()
    await turns()
    skip(LONG.drain_max_s + AFTER_LAST_S)


async def broker_stops(play: Play) -> None:
    await play.exchange.close(0)


async def provider_goes_on(play: Play) -> None:
    play.provider.go_on()


# What happens at the cut, and whether the provider then sends the rest, ends, or resets the connection.
FATES: Mapping[str, tuple[Fate, type[Exception] | bool]] = {
    "the client leaves": (client_leaves, True),
    "the client leaves, then the provider ends": (client_leaves, False),
    "the client leaves, then the provider resets": (client_leaves, ProviderReset),
    "the client leaves and its drain ends": (client_leaves_and_its_drain_ends, True),
    "the broker stops": (broker_stops, True),
    "the provider ends": (provider_goes_on, False),
    "the provider resets": (provider_goes_on, ProviderReset),
    "nothing happens": (provider_goes_on, True),
}


def played(wire: Wire, head: Head, cut: Cut, fate: str) -> tuple[Play, RequestLog]:
    """Play a call that meets this fate at this cut."""
    meet, then = FATES[fate]
    more: Script = [cut.after] if then is True else [] if then is False else [then("reset")]
    provider = Provider("p", "http://p/v1", (KEY,), stream_usage=True, wire=KINDS[wire.kind].wire)
    way = Route.to("m", "chat", provider, "m", tariff=Tariff.fixed(PRICE))
    call = json_call(wire.kind, wire.request(is_stream=head is EVENTS))

    async def main() -> tuple[Play, RequestLog]:
        play = Play([[head, *cut.before, PAUSE, *more]], call, LONG, way=way)
        play.begin()
        await play.provider.paused()
        await meet(play)
        return play, await play.end()

    return run(main())


def check(wire: Wire, head: Head, row: RequestLog, fate: str, came: int, whole: int) -> None:
    """Check that a row says what is known after `came` bytes; an answer settles its call with `whole` of them."""
    meet, then = FATES[fate]
    arrived = whole if then is True and meet in (client_leaves, provider_goes_on) else came
    if row.usage_source == "reported":
        assert arrived > whole - 3  # nothing but the line ends of its event may lack
        assert (row.input_tokens, row.output_tokens, row.cost_nano_usd) == (INPUT, OUTPUT, wire.cost_nano_usd)
    else:
        assert arrived < whole or head is not EVENTS  # a whole answer is settled by its end
        assert row.usage_source == "estimated"
        assert row.input_tokens
        assert row.cost_nano_usd
        assert row.cost_nano_usd < 2 * wire.cost_nano_usd
    if meet is broker_stops:
        assert row.outcome == "interrupted"
    elif meet is provider_goes_on:
        assert row.outcome in (("ok",) if then is True else ("ok", "provider_error"))
    else:  # a provider that fails beside is the one that is named
        assert row.outcome in (("client_disconnected",) if then is True else ("client_disconnected", "provider_error"))


def check_passed(wire: Wire, play: Play, seen: int) -> None:
    """Check that the client got the provider's events byte for byte, then at most an error event of ours.

    It has all that came before the cut; the last one waits for the row, and may not come.
    """
    passed = [event + b"\n\n" for event in play.client.body.split(b"\n\n")[:-1]]
    if passed and passed[-1].startswith((b"event: error\n", b'data: {"error"')):
        passed.pop()
    assert passed == [*wire.events[: len(passed)]]
    assert len(passed) >= min(seen, len(wire.events) - 1)


CUTS = [(wire, seen) for wire in WIRES for seen in range(len(wire.events) + 1)]


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize(("wire", "seen"), CUTS, ids=[f"{wire.kind}-{seen}" for wire, seen in CUTS])
def test_call_cut_at_any_event_has_one_row_at_the_cost_of_the_providers_books(wire: Wire, seen: int, fate: str) -> None:
    came = [0, *wire.ends()][seen]
    cut = Cut(tuple(wire.events[:seen]), wire.stream[came:])

    play, row = played(wire, EVENTS, cut, fate)

    check(wire, EVENTS, row, fate, came, wire.ends()[wire.settling])
    if row.usage_source == "estimated":
        assert bool(row.output_tokens) is (seen > wire.first_output or (wire.reports_input_first and seen > 0))
        assert not (wire.reports_input_first and seen) or row.input_tokens == INPUT
    check_passed(wire, play, seen)


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 1])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.kind)
def test_whole_answer_cut_anywhere_has_one_row_at_the_cost_of_the_providers_books(
    wire: Wire, share: float, fate: str
) -> None:
    came = int(share * len(wire.whole))

    play, row = played(wire, Head(), Cut((wire.whole[:came],) if came else (), wire.whole[came:]), fate)

    check(wire, Head(), row, fate, came, len(wire.whole))
    assert play.client.body == wire.whole or row.outcome != "ok"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.kind)
@given(data=st.data())
@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_stream_cut_at_any_byte_has_one_row_at_the_cost_of_the_providers_books(wire: Wire, data: st.DataObject) -> None:
    stream = wire.stream
    came = data.draw(st.integers(0, len(stream)), "cut")
    size = data.draw(st.integers(1, 2000), "size of a piece")
    fate = data.draw(st.sampled_from(list(FATES)), "fate")
    pieces = tuple(stream[at : min(at + size, came)] for at in range(0, came, size))

    play, row = played(wire, EVENTS, Cut(pieces, stream[came:]), fate)

    check(wire, EVENTS, row, fate, came, wire.ends()[wire.settling])
    check_passed(wire, play, bisect_right(wire.ends(), came))
