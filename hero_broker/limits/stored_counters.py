"""What of budgets is stored: which counters a row adds to, and which counters in memory they belong to.

Stored counters know nothing of labels, which may change: a limit that looks at labels has one for each address.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import msgspec

from hero_broker.core.labels import LabelIndex, Network
from hero_broker.limits.limit import BILLING_PERIOD, USD, Dimensions, Limit, LimitMatch

MAX_CACHED = 10_000  # sorts of rows whose counters are known
_OF_ADDRESS = ("ip", "prefix", "label")

Values = tuple[str | None, ...]


class StoredCounters:
    """The stored counters of one budget. Safe for any thread."""

    def __init__(self, limit: Limit) -> None:
        self.name = limit.name
        self.limit = limit
        self.by_period = limit.window == BILLING_PERIOD
        self.by = _dimensions_of(limit)
        self.uses_context = "context" in self.by or limit.match.context is not None
        self._match = replace(limit.match, label=None)
        # The sums of another shape are of other calls.
        self.shape = json.dumps(
            {
                "match": {name: _plain(value) for name, value in _set_fields(self._match)},
                "by": self.by,
                "prefix": [limit.prefix_v4, limit.prefix_v6] if "prefix" in self.by else None,
                "window": limit.window,
                "tz": limit.zone.key,
            }
        )

    @classmethod
    def of_shape(cls, name: str, shape: str) -> "StoredCounters":
        """Return the stored counters of a budget, given by its name and shape."""
        found = json.loads(shape)
        match = found["match"] | {key: ip_network(text) for key, text in found["match"].items() if key == "network"}
        match |= {key: tuple(map(ip_network, texts)) for key, texts in found["match"].items() if key == "excepted"}
        prefixes = dict(zip(("prefix_v4", "prefix_v6"), found["prefix"] or (), strict=False))
        zone = ZoneInfo(found["tz"])
        return cls(
            Limit(name, USD, 0, LimitMatch(**match), tuple(found["by"]), window=found["window"], zone=zone, **prefixes)
        )

    def window_at(self, at: int) -> tuple[int, int]:
        """Return the window of a time: both in unix seconds, and half-open."""
        return self.limit.window_at(at)

    def subject(self, call: Dimensions) -> str | None:
        """Return the stored counter of a call as JSON; None if the limit cannot count it, whatever its label is."""
        if not self._match.covers(call):
            return None
        return msgspec.json.encode(self.limit.values(self.by, call)).decode()

    def in_memory(self, subject: str, labels: LabelIndex | None) -> Values | None:
        """Return the subject in memory of a stored counter; None if the limit does not count it by these labels."""
        values: Mapping[str, str | None] = dict(zip(self.by, msgspec.json.decode(subject), strict=True))
        call = Dimensions(values.get("ip") or "", label=_label(values.get("ip"), labels))
        if self.limit.match.label not in (None, call.label):
            return None
        of_address = self.limit.values([name for name in self.limit.per if name not in values], call)
        rest = iter(of_address)
        return tuple(values[name] if name in values else next(rest) for name in self.limit.per)


class StoredBudgets:
    """The stored counters of some budgets, found for a row of each sort once. Safe for any thread."""

    def __init__(self, budgets: Iterable[StoredCounters]) -> None:
        self.budgets = tuple(budgets)
        self._cached: dict[Values, Sequence[tuple[StoredCounters, str]]] = {}

    def counters(self, call: Values) -> Sequence[tuple[StoredCounters, str]]:
        """Return the counters of a call, given by its address, context, model, provider and kind."""
        found = self._cached.get(call)
        if found is None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            dimensions = Dimensions(call[0] or "", *call[1:])
            pairs = ((one, one.subject(dimensions)) for one in self.budgets)
            found = self._cached[call] = [(one, subject) for one, subject in pairs if subject is not None]
        return found


def _dimensions_of(limit: Limit) -> tuple[str, ...]:
    if not limit.uses_label:
        return limit.per
    return ("ip", *(name for name in limit.per if name not in _OF_ADDRESS))


def _set_fields(match: LimitMatch) -> Iterator[tuple[str, str | Network | tuple[Network, ...]]]:
    values = ((one.name, getattr(match, one.name)) for one in fields(match))
    return ((name, value) for name, value in values if value)


def _plain(value: str | Network | tuple[Network, ...]) -> str | list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else str(value)


def _label(ip: str | None, labels: LabelIndex | None) -> str | None:
    return None if ip is None or labels is None else labels.lookup(ip)
