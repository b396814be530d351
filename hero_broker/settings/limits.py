"""Reads `[[limits]]` and `[limiting]`, and limits that are set over RPC: with the same keys, defaults and faults."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hero_broker.core.addresses import UNKNOWN, canonical_ip
from hero_broker.core.errors import InvalidParams
from hero_broker.core.money import MAX_EXACT_DIGITS, NANO, exact_decimal
from hero_broker.kinds.registry import KINDS
from hero_broker.limits.headers import HEADERS
from hero_broker.limits.limit import (
    CHOICES,
    CONCURRENT,
    ENDS,
    EVER,
    HOLDS,
    MAX_AMOUNT,
    MAX_LIMITS,
    MAX_NAME_CHARACTERS,
    MAX_THRESHOLD,
    MAX_THRESHOLDS,
    MAX_TOKENS_PER_MINUTE,
    MAX_UNITS,
    MAX_USD,
    MINUTE,
    MODES,
    PREFIX_V4,
    PREFIX_V6,
    REQUESTS,
    SERVER_LIMITS,
    SUBJECTS,
    UNITS,
    USD,
    UTC,
    WINDOWS,
    Limit,
    LimitMatch,
    faults_of,
)
from hero_broker.settings.errors import Fault
from hero_broker.settings.model import LimitingSettings
from hero_broker.settings.toml_table import TomlTable
from hero_broker.settings.validators import CIDR_FORM, NAME_FORM, accept_name, accept_network, accept_one_of, quoted

LIMIT_NAME_FORM = f"must be 1 to {MAX_NAME_CHARACTERS} letters, digits, dots, hyphens and underscores of ASCII"
IP_FORM = f'must be an address, such as "10.77.0.5", or {quoted(UNKNOWN)} for callers on a Unix socket'
ZONE_FORM = 'must be the name of a time zone, such as "Europe/Brussels"'
BUDGET_STATUSES = (402, 429)
_LIMIT_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME_CHARACTERS}}}")
_UNITS = ", ".join(quoted(unit) for unit in UNITS)


def read_limits(
    tables: Sequence[TomlTable], providers: Collection[str], *, may_share_ledger: bool
) -> tuple[Limit, ...]:
    """Return the limits of the file, in its order.

    `providers` are the names of all that are configured. `may_share_ledger`: other brokers may write to the database.
    """
    if len(tables) > MAX_LIMITS:
        tables[0].faults.append(Fault("limits", f"must have at most {MAX_LIMITS} tables"))
    places = {name: name for name in SERVER_LIMITS}
    limits = []
    for table in tables:
        limit = _read_limit(table, providers, may_share_ledger=may_share_ledger)
        if limit.name in places:
            table.fault("name", f"must be unique; {quoted(limit.name)} is used by {places[limit.name]}")
        elif limit.name:
            places[limit.name] = table.full_key("name")
        limits.append(limit)
    return tuple(limits)


def read_definition(name: str, definition: str, providers: Collection[str], *, may_share_ledger: bool) -> Limit:
    """Return the limit of a name that is set over RPC.

    `definition` is a JSON object with the keys of `[[limits]]` but the name; `providers` and `may_share_ledger` are as
    of `read_limits`.

    Raises:
        InvalidParams: the name or the definition has faults; it lists all of the definition.
    """
    faults: list[Fault] = []
    try:
        members = json.loads(definition, parse_float=_parse_number)
    except (ValueError, RecursionError) as error:
        raise InvalidParams("definition", "must be valid JSON") from error
    if not isinstance(members, dict):
        raise InvalidParams("definition", "must be an object")
    given = {key: value for key, value in members.items() if value is not None}
    table = TomlTable("", {**given, "name": name}, faults)
    limit = _read_limit(table, providers, may_share_ledger=may_share_ledger)
    table.refuse_unknown_keys()
    if any(fault.key == "name" for fault in faults):
        raise InvalidParams("name", LIMIT_NAME_FORM)
    if faults:
        raise InvalidParams("definition", "; ".join(map(str, faults)))
    return replace(limit, is_set=True)


def _parse_number(text: str) -> Decimal | int:
    """Return the number of a text with a point or an exponent; an integer if it is whole, as JSON has one type."""
    try:
        number = exact_decimal(text)
    except ValueError as error:
        raise InvalidParams("definition", f"must have numbers of at most {MAX_EXACT_DIGITS} digits") from error
    return int(number) if number == int(number) else number


def read_limiting(table: TomlTable) -> LimitingSettings:
    """Return what holds for all limits."""
    form = f"must be {' or '.join(quoted(word) for word in HEADERS)}"
    headers = table.strings("headers", LimitingSettings().headers, lambda text: accept_one_of(text, HEADERS), form)
    budget_status = table.integer_of("budget_status", *BUDGET_STATUSES)
    self_service = table.choice("self_service", "on", "off") == "on"
    return LimitingSettings(headers, budget_status, self_service)


def _read_limit(table: TomlTable, providers: Collection[str], *, may_share_ledger: bool) -> Limit:
    """Return the limit of a table, also a faulty one; look at each key, and at what must hold between them."""
    limit = _limit(table, providers)
    if table.boolean("shared", True) and may_share_ledger:
        table.fault("shared", "must be false with a PostgreSQL database: each broker counts its own calls alone")
    for name, problem in faults_of(limit):
        table.fault(name, problem)
    return limit


def _limit(table: TomlTable, providers: Collection[str]) -> Limit:
    """Return the limit of a table, also a faulty one."""
    name = table.string("name", None, _accept_limit_name, LIMIT_NAME_FORM) or ""
    unit = table.string("unit", None, lambda text: accept_one_of(text, UNITS), f"must be one of {_UNITS}") or ""
    window = table.choice_or_none("window", *WINDOWS)
    is_budget = unit != CONCURRENT and window not in (None, MINUTE)
    most = MAX_UNITS if is_budget else MAX_AMOUNT if unit in (REQUESTS, CONCURRENT) else MAX_TOKENS_PER_MINUTE
    amount = _amount(table, unit, 0 if window == EVER else 1, most)
    burst = table.integer("burst", max(1, min(amount, MAX_TOKENS_PER_MINUTE)), 1, min(most, MAX_TOKENS_PER_MINUTE))
    hold, zone = table.choice("hold", *HOLDS), table.string("tz", "UTC", _accept_zone, ZONE_FORM)
    subjects = ", ".join(quoted(word) for word in SUBJECTS)
    per = table.strings("per", (), lambda text: accept_one_of(text, SUBJECTS), f"must be one of {subjects}")
    prefix_v4 = table.integer("prefix_v4", PREFIX_V4, 1, 32)
    prefix_v6 = table.integer("prefix_v6", PREFIX_V6, 1, 128)
    if unit == CONCURRENT and window is not None:
        table.fault("window", f"must be left out with the unit {quoted(CONCURRENT)}")
    elif unit not in ("", CONCURRENT) and not table.has("window"):
        table.fault("window", f"is missing; it must be {_or(WINDOWS[1:] if unit == USD else WINDOWS)}")
    elif unit == USD and window == MINUTE:
        table.fault("window", f"must be {_or(WINDOWS[1:])} with the unit {quoted(unit)}")
    if table.has("burst") and (is_budget or unit == CONCURRENT):
        table.fault("burst", f"needs the window {quoted(MINUTE)}")
    if table.has("tz") and not is_budget:
        table.fault("tz", f"needs a window of {_or(WINDOWS[1:])}")
    if table.has("hold") and not is_budget and unit in (REQUESTS, CONCURRENT):
        table.fault("hold", f"needs a window of {_or(WINDOWS[1:])}, or a unit of tokens")
    if table.has("unpriced") and unit != USD:
        table.fault("unpriced", f"needs the unit {quoted(USD)}")
    for key in ("prefix_v4", "prefix_v6"):
        if table.has(key) and "prefix" not in per:
            table.fault(key, f"needs {quoted('prefix')} in per")
    return Limit(
        name,
        unit,
        amount,
        match=_match(table.table("match"), providers),
        per=per,
        burst=0 if unit == CONCURRENT or is_budget else burst,
        mode=table.choice("mode", *MODES),
        on_exceed=table.choice("on_exceed", *ENDS),
        unpriced=table.choice("unpriced", *CHOICES),
        on_limits_unavailable=table.choice("on_limits_unavailable", *CHOICES),
        warn_at=table.rising("warn_at", MAX_THRESHOLDS, MAX_THRESHOLD),
        prefix_v4=prefix_v4,
        prefix_v6=prefix_v6,
        window=window or MINUTE,
        zone=zone or UTC,
        hold=hold,
    )


def _amount(table: TomlTable, unit: str, least: int, most: int) -> int:
    """Return the amount of a limit; money in nano-USD. `least` is 0 if grants alone may make it more."""
    if not table.has("amount"):
        table.fault("amount", "is missing; it must be a number above 0")
    if not unit:  # it is faulty, so nothing is known of the amount but that it is a number
        table.price("amount", MAX_UNITS, "must be a number above 0")
        return 1
    if unit == USD:
        bound = "above 0" if least else "of 0 or more"
        form = f"must be a number of USD {bound}, such as 0.50, with at most 9 decimal places, at most {MAX_USD}"
        usd = table.price("amount", MAX_USD, form)
        nano_usd = 0 if usd is None else usd * NANO
        if usd is not None and (nano_usd != int(nano_usd) or nano_usd < least):
            table.fault("amount", form)
        return int(nano_usd)
    return table.integer("amount", 1, least, most)


def _or(words: Sequence[str]) -> str:
    *others, last = map(quoted, words)
    return f"{', '.join(others)} or {last}"


def _accept_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError from error


def _match(table: TomlTable, providers: Collection[str]) -> LimitMatch:
    provider = table.string_or_none("provider", accept_name, f"must be the name of a provider; it {NAME_FORM}")
    if provider is not None and provider not in providers:
        known = ", ".join(quoted(item) for item in sorted(providers) if item) or "none"
        table.fault("provider", f"must be the name of a provider, not {quoted(provider)}; known: {known}")
    return LimitMatch(
        ip=table.string_or_none("ip", _accept_ip, IP_FORM),
        network=table.string_or_none("network", accept_network, CIDR_FORM),
        label=table.string_or_none("label", accept_name, NAME_FORM),
        context=table.string_or_none("context", accept_name, NAME_FORM),
        model=table.string_or_none("model", accept_name, NAME_FORM),
        provider=provider,
        kind=table.choice_or_none("kind", *KINDS),
        excepted=table.strings("exclude", (), accept_network, CIDR_FORM),
    )


def _accept_ip(text: str) -> str:
    return text if text == UNKNOWN else canonical_ip(text)


def _accept_limit_name(text: str) -> str:
    if _LIMIT_NAME.fullmatch(text) is None:
        raise ValueError
    return text
