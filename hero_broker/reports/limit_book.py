"""Limits and grants that operators set while brokers run: stored in the ledger's database, as labels are."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

from sqlalchemy import Connection

from hero_broker.core.clock import Clock
from hero_broker.core.errors import Conflict, InvalidParams
from hero_broker.core.limits import DefinedLimit, Grant, LimitDefinition
from hero_broker.limits.definitions import Definitions, Revision
from hero_broker.limits.grants import fits, granted_amount
from hero_broker.limits.limit import MAX_LIMITS, RPC, Limit
from hero_broker.limits.sentences import sentence
from hero_broker.limits.subjects import canonical_subject
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import limit_definitions, limit_grants
from hero_broker.store.database import Database

THREADS = 1
DEADLINE_S = 10.0

log = logging.getLogger(__name__)

# Returns the limit of a name and a definition in JSON; raises InvalidParams if it has faults.
ReadDefinition = Callable[[str, str], Limit]


class LimitBook:
    """Sets and removes limits, makes and revokes grants beyond them, and caches both for who applies them.

    `on_change` is awaited in the event loop after a change that was made here; brokers that share the database see it
    by the revision.
    """

    def __init__(
        self, database: Database, clock: Clock, fixed: Sequence[Limit], read_definition: ReadDefinition
    ) -> None:
        """Take the limits that cannot be changed, those of the settings file and of `[server]`."""
        self._database = database
        self._reader = QueryPool(database, THREADS)
        self._clock = clock
        self._fixed = {limit.name: limit for limit in fixed}
        self._max_set = MAX_LIMITS - sum(not limit.is_of_server for limit in fixed)
        self._read_definition = read_definition
        self._cached = Definitions()
        self.on_change: Callable[[], Awaitable[None]] = _nothing

    def close(self) -> None:
        """Cancel running queries."""
        self._reader.close()

    def current(self, connection: Connection) -> Definitions:
        """Return what a transaction sees; the same object as long as nothing has changed. Safe for any thread.

        A definition that this broker cannot use bounds nothing and is logged: a provider that only another broker has,
        or a name that the settings file has too. To refuse calls instead would stop all of them for one mistake.
        """
        revision = limit_definitions.revision(connection), limit_grants.revision(connection)
        cached = self._cached
        if cached.revision != revision:
            defined = tuple(limit_definitions.definitions(connection))
            granted = tuple(limit_grants.in_force(connection, self._clock.now()))
            self._cached = cached = self.usable(revision, defined, granted)
        return cached

    def usable(
        self, revision: Revision, defined: tuple[LimitDefinition, ...], granted: tuple[Grant, ...]
    ) -> Definitions:
        """Return what this broker can use of definitions and grants."""
        limits = self._usable(defined)
        by_name = self._fixed | {limit.name: limit for limit in limits}
        fitting = tuple(grant for grant in granted if grant.name in by_name and fits(grant, by_name[grant.name]))
        return Definitions(revision, limits, fitting, defined, granted)

    async def set(self, name: str, definition: Mapping[str, object]) -> tuple[DefinedLimit, int]:
        """Set a limit, in place of one of the same name; return it and the time (unix seconds).

        `definition` has the keys of `[[limits]]` but the name; a key with None is absent.

        Raises:
            InvalidParams: the name or the definition has faults, or there are too many limits.
            Conflict: the name is of a limit that cannot be changed.
            StoreUnavailable: the database does not answer; the limit may be set or not.
        """
        self._refuse_fixed(name)
        now = self._clock.now()
        new = LimitDefinition(name, _canonical(definition), now)
        self._read_definition(name, new.definition)
        result = await self._reader.run(self._set, new)
        await self.on_change()
        return result, now

    async def remove(self, name: str) -> tuple[DefinedLimit, int]:
        """Remove a limit, and end its grants; return it as it was and the time (unix seconds).

        Raises:
            NotRecorded: no limit has this name.
            Conflict: the name is of a limit that cannot be changed.
            StoreUnavailable: the database does not answer; the limit may be removed or not.
        """
        self._refuse_fixed(name)
        now = self._clock.now()
        result = await self._reader.run(self._remove, name, now)
        await self.on_change()
        return result, now

    async def get(self, name: str) -> tuple[DefinedLimit, int]:
        """Return how a limit is defined, with its grants in force, and the time (unix seconds).

        Raises:
            NotRecorded: no limit has this name.
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        return await self._reader.query(DEADLINE_S, self._find, name, as_of), as_of

    async def grant(
        self, name: str, subject: Mapping[str, str | None], amount: Decimal, until: int | None, reason: str
    ) -> tuple[Grant, int]:
        """Let a subject of a budget use more; return the grant and the time (unix seconds).

        `subject` has a value for each dimension in the limit's `per`. `amount` is in its unit, money in USD. `until` is
        in unix seconds and not included; None is for ever. `reason` is printable text.

        Raises:
            InvalidParams: the limit is not a budget, a value has a fault, or there are too many grants.
            NotRecorded: no limit has this name.
            StoreUnavailable: the database does not answer; the grant may be made or not.
        """
        now = self._clock.now()
        if until is not None and until <= now:
            raise InvalidParams("until", f"must be in the future, so later than {now}")
        result = await self._reader.run(self._grant, name, subject, amount, now, until, reason)
        await self.on_change()
        return result, now

    async def revoke(self, grant_id: int) -> tuple[Grant, int]:
        """End a grant now; return it with its new end, and the time (unix seconds).

        Raises:
            NotRecorded: no grant in force has this number.
            StoreUnavailable: the database does not answer; the grant may have ended or not.
        """
        now = self._clock.now()
        result = await self._reader.run(self._revoke, grant_id, now)
        await self.on_change()
        return result, now

    def _refuse_fixed(self, name: str) -> None:
        if name in self._fixed:
            place = "is a setting of [server]" if self._fixed[name].is_of_server else "is in the settings file"
            raise Conflict(f"The limit {name!r} {place}, and is changed there", "read_only")

    def _usable(self, definitions: Sequence[LimitDefinition]) -> tuple[Limit, ...]:
        limits = []
        for one in definitions:
            if one.name in self._fixed:
                log.warning("limits: the settings file has the limit %s, so the one that was set is not used", one.name)
                continue
            try:
                limits.append(self._read_definition(one.name, one.definition))
            except InvalidParams as error:
                log.error("limits: %s was set, and this broker cannot use it: %s", one.name, error.reason)
        return tuple(limits)

    def _usable_limit(self, definition: LimitDefinition) -> Limit:
        try:
            return self._read_definition(definition.name, definition.definition)
        except InvalidParams as error:
            raise InvalidParams("name", f"is of a limit that this broker cannot use: {error.reason}") from error

    def _set(self, new: LimitDefinition) -> DefinedLimit:
        with self._database.writing() as connection:
            others = [one for one in limit_definitions.definitions(connection) if one.name != new.name]
            if len(others) >= self._max_set:
                raise InvalidParams("name", f"exceeds the limit of {MAX_LIMITS:,} limits: remove one first")
            limit_definitions.put(connection, new)
            return self._described(connection, new, new.set_at)

    def _remove(self, name: str, now: int) -> DefinedLimit:
        with self._database.writing() as connection:
            removed = self._described(connection, limit_definitions.find(connection, name), now)
            limit_definitions.remove(connection, name)
            limit_grants.end(connection, name, now)
            return removed

    def _find(self, connection: Connection, name: str, now: int) -> DefinedLimit:
        fixed = self._fixed.get(name)
        if fixed is not None:
            return DefinedLimit(name, fixed.source, sentence(fixed), None, _grants(connection, fixed, now))
        return self._described(connection, limit_definitions.find(connection, name), now)

    def _described(self, connection: Connection, definition: LimitDefinition, now: int) -> DefinedLimit:
        try:
            limit = self._read_definition(definition.name, definition.definition)
        except InvalidParams:
            return DefinedLimit(definition.name, RPC, None, definition, ())
        return DefinedLimit(limit.name, RPC, sentence(limit), definition, _grants(connection, limit, now))

    def _grant(
        self,
        name: str,
        subject: Mapping[str, str | None],
        amount: Decimal,
        now: int,
        until: int | None,
        reason: str,
    ) -> Grant:
        with self._database.writing() as connection:
            limit = self._fixed.get(name) or self._usable_limit(limit_definitions.find(connection, name))
            if not limit.is_budget:
                raise InvalidParams(
                    "name", "must be of a budget: a limit with a window of an hour or more, or for ever"
                )
            of, granted = canonical_subject(limit, subject), granted_amount(limit, amount)
            return limit_grants.add(connection, Grant(0, name, of, limit.unit, granted, now, until, reason))

    def _revoke(self, grant_id: int, now: int) -> Grant:
        with self._database.writing() as connection:
            return limit_grants.revoke(connection, grant_id, now)


async def _nothing() -> None:
    """Tell nobody of a change."""


def _grants(connection: Connection, limit: Limit, now: int) -> tuple[Grant, ...]:
    grants = limit_grants.in_force(connection, now)
    return tuple(grant for grant in grants if grant.name == limit.name and fits(grant, limit))


def _canonical(definition: Mapping[str, object]) -> str:
    """Return a definition as JSON, without members that are None, sorted."""
    members = {name: _without_none(value) for name, value in definition.items() if value is not None}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _without_none(value: object) -> object:
    return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value
