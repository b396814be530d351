"""The methods of the contract on a client that awaits: `client.billing.usage_by_ip(since=…)`.

Generated from `openrpc.json` by `python -m tests.reference`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hero_broker.client import methods, models
from hero_broker.client.methods import (
    Bucket,
    Dimension,
    FocusVersion,
    KindOfCall,
    LimitSubjectValues,
    NewLimit,
    QueryFilter,
)
from hero_broker.client.query import AsyncCall


class AsyncRpcMethods:
    """`rpc.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def discover(self) -> dict[str, Any]:
        """Describe these methods.

        Returns this document, which is also at GET /openrpc.json.
        """
        return await self._call(methods.discover())


class AsyncBillingMethods:
    """`billing.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def usage_by_ip(
        self, since: int | None = None, until: int | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.UsageByIp:
        """Spend per address.

        Sums calls by the address that made them, largest spend first, then by ip. The totals cover the whole window,
        not only the page. Pages are read one after another from a ledger that grows: a call that is recorded between
        two pages may move an address across them, and changes the totals. To list exactly, take one page of 10,000
        addresses or a window that has been over for longer than any call takes. GET /billing/usage with Accept:
        text/csv or application/x-ndjson streams all addresses.

        Args:
            since: Unix seconds; calls that started at or after it.
            until: Unix seconds; calls that started before it.
            limit: The maximum number of addresses; 10,000 if absent.
            cursor: The next_cursor of the previous page.
        """
        return await self._call(methods.usage_by_ip(since, until, limit, cursor))

    async def usage_for_ip(self, ip: str, since: int | None = None, until: int | None = None) -> models.UsageForIp:
        """One address's spend by model.

        For an address without usage, the totals are zero and the array of models is empty. GET /billing/usage/{ip} with
        Accept: text/csv or application/x-ndjson streams its models.

        Args:
            ip: An address in any spelling, or "unknown" for callers on a Unix socket.
            since: Unix seconds; calls that started at or after it.
            until: Unix seconds; calls that started before it.
        """
        return await self._call(methods.usage_for_ip(ip, since, until))

    async def usage(
        self,
        group_by: Sequence[Dimension],
        since: int | None = None,
        until: int | None = None,
        bucket: Bucket | None = None,
        tz: str | None = None,
        filter: QueryFilter | None = None,  # noqa: A002 - the contract's word
        limit: int | None = None,
        cursor: str | None = None,
        prefix_v4: int | None = None,
        prefix_v6: int | None = None,
        dense: bool | None = None,
    ) -> models.UsageReport:
        """Usage by any dimension, over time.

        Sums calls by any of their dimensions, and by hours, days, weeks, months or quarters of a time zone: by bucket,
        then largest spend first, then by group. The window may be of any length when calls are grouped by nothing, by
        ip, by prefix, by label, by ip and model, by label and model, by api_key_id, by api_key_id and model, or by any
        of model, provider and kind; also by bucket, except for hours in a zone whose offset is not whole hours. Other
        reports read single calls, and their window is at most 31 days. Labels are those of now, whatever the window;
        only for a closed period, which the filter names, they are those of its close. Pages are read one after another
        from a ledger that grows: a call that is recorded between two pages may move a group across them, and changes
        the totals. To list exactly, take one page of 10,000 groups, a closed period, or a window that has been over for
        longer than any call takes. GET /billing/report with Accept: text/csv or application/x-ndjson streams all
        groups.

        Args:
            group_by: The dimensions to group by; an empty array returns only the totals.
            since: Unix seconds; calls that started at or after it.
            until: Unix seconds; calls that started before it.
            bucket: One sum for each hour, day, week (from Monday), month or quarter; no buckets if absent.
            tz: The IANA time zone of the buckets; UTC if absent.
            filter: Which calls count; all if absent.
            limit: The maximum number of groups; 10,000 if absent.
            cursor: The next_cursor of the previous page; the other parameters must then be absent or unchanged.
            prefix_v4: Bits of an IPv4 prefix; 24 if absent.
            prefix_v6: Bits of an IPv6 prefix; 64 if absent.
            dense: Whether to list buckets without calls too, for each group that has calls in the window.
        """
        return await self._call(
            methods.usage(group_by, since, until, bucket, tz, filter, limit, cursor, prefix_v4, prefix_v6, dense)
        )

    async def requests(
        self,
        since: int | None = None,
        until: int | None = None,
        filter: QueryFilter | None = None,  # noqa: A002 - the contract's word
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.RequestsPage:
        """The calls themselves.

        Lists rows of the ledger, newest first, as of the first page's request: later rows are not included, and no row
        is missing or repeated. If few calls match, a page may hold fewer rows than the limit, even zero, and still have
        a next_cursor. GET /billing/requests with Accept: text/csv or application/x-ndjson streams all of them.

        Args:
            since: Unix seconds; calls that started at or after it.
            until: Unix seconds; calls that started before it.
            filter: Which calls to list; all if absent.
            limit: The maximum number of rows; 100 if absent.
            cursor: The next_cursor of the previous page; the other parameters must then be absent or unchanged.
        """
        return await self._call(methods.requests(since, until, filter, limit, cursor))

    async def request(self, request_id: str) -> models.RequestAnswer:
        """One request, and how its cost was computed.

        Returns each unit that was charged, its rate, their product, the exact sum and the source of the price. A row is
        available within a second of the response.

        Args:
            request_id: The x-request-id of the response.
        """
        return await self._call(methods.request(request_id))

    async def me(self, tz: str | None = None) -> models.OwnUsageAnswer:
        """What the caller's own address used, and what is left of its limits.

        Answers for the address that sends the request, today and this month of a time zone. GET /v1/usage needs no
        admin token, serves every address that may call, and admits 60 requests a minute of each address, 10 at once.
        Callers behind one NAT or proxy share an address. Rows are counted within a second of the response. Limits that
        refuse nothing are left out.

        Args:
            tz: The IANA time zone of today and of this month; UTC if absent. Windows of limits are in their own.
        """
        return await self._call(methods.me(tz))

    async def my_request(self, request_id: str) -> models.OwnRequestAnswer:
        """One call of the caller's own address, and how its cost was computed.

        Returns what billing.request returns, without what is the operator's alone: the position in the ledger, the
        proxy, the keys and ids of prices, the first failed attempt, the label and the billing period. GET
        /v1/usage/{request_id} needs no admin token, and serves the address that made the call; others get the same 404
        as for an unknown id. A row is available within a second of the response.

        Args:
            request_id: The x-request-id of the response.
        """
        return await self._call(methods.my_request(request_id))

    async def unbilled(self, until: int | None = None) -> models.UnbilledAnswer:
        """Calls in no billing period yet.

        Sums the calls that are in no billing period yet; with until, those of them that began before it, which
        billing.close would bill. Without until, to_seq is what billing.mark_billed takes.

        Args:
            until: Unix seconds; calls that began before it. All if absent.
        """
        return await self._call(methods.unbilled(until))

    async def mark_billed(self, reference: str, to_seq: int) -> models.PeriodAnswer:
        """Record a billing period by position.

        Records all calls up to to_seq that are in no period yet under the operator's reference, whenever they began. To
        bill a month, use billing.close. Each call is in exactly one period, a late one in the period that was open when
        it was recorded. A repeated request with the same reference and to_seq changes nothing and returns the same
        result.

        Args:
            reference: The operator's own name for the period, such as a number of the batch; unique.
            to_seq: The last position of the period.
        """
        return await self._call(methods.mark_billed(reference, to_seq))

    async def close(
        self, reference: str, until: int, tz: str | None = None, dry_run: bool | None = None
    ) -> models.CloseAnswer:
        """Close a month.

        Records the calls that began before until, are in the ledger now, and are in no period yet, under the operator's
        reference: a month is closed by the first second of the next one. Calls that began later stay for a later
        period, and calls that are recorded later belong to the next period, even if they began before until. The period
        keeps its sums by address and model, and the labels that addresses have now. until grows from period to period.
        A reference in the form of a month, such as 2026-11, needs the end of that month in tz; other names may close at
        any time. A repeated request with the same reference and until changes nothing and returns the same period.

        Args:
            reference: The operator's own name for the period, such as 2026-11; unique.
            until: Unix seconds; calls that began before it. It must have passed.
            tz: The IANA time zone in which until is meant, for statements; UTC if absent.
            dry_run: Return what would be closed, and record nothing; false if absent.
        """
        return await self._call(methods.close(reference, until, tz, dry_run))

    async def periods(self) -> models.PeriodsAnswer:
        """All billing periods.

        Lists the periods, oldest first.
        """
        return await self._call(methods.periods())

    async def verify(self, since: int | None = None, until: int | None = None) -> models.VerifyAnswer:
        """Verify that the sums match the calls.

        Adds up all calls of the window's hours and compares the result with the roll-ups that reports read; without a
        window, with the billing periods and the counters of budgets too. Reads every row, in short steps.

        Args:
            since: Unix seconds; the hour that contains it and later hours.
            until: Unix seconds; earlier hours.
        """
        return await self._call(methods.verify(since, until))

    async def rebuild(self) -> models.RebuildAnswer:
        """Rebuild the roll-ups.

        Rebuilds the sums that reports read from all calls, beside the sums in use, and then replaces those. Reports
        stay exact meanwhile; system.health shows the progress. A rebuild in progress is not restarted.
        """
        return await self._call(methods.rebuild())

    async def focus(
        self,
        period: str | None = None,
        since: int | None = None,
        until: int | None = None,
        version: FocusVersion | None = None,
    ) -> models.FocusAnswer:
        """Calls as a FOCUS file.

        Exports a billing period or a window in the FinOps Open Cost and Usage Specification (FOCUS) 1.2, as CSV: one
        line a day, address, model, unit, provider and price. Days are those of UTC, or of the zone of a closed period.
        The sum of BilledCost is the cost of the calls, to 0.000000001 USD. Labels are those of now, or of the period's
        close. GET /billing/focus with Accept: text/csv streams the file, and has no limit of lines.

        Args:
            period: The reference of a billing period; since and until must then be absent.
            since: Unix seconds; calls that started at or after it.
            until: Unix seconds; calls that started before it.
            version: The version of FOCUS; 1.2 if absent.
        """
        return await self._call(methods.focus(period, since, until, version))


class AsyncModelsMethods:
    """`models.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def list(self) -> models.ModelsAnswer:
        """Models and their prices.

        Lists the models that clients may request: those of the settings, then those that are only in the price list.
        Rates are the current ones, in USD.
        """
        return await self._call(methods.list_models())


class AsyncPricesMethods:
    """`prices.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def list(self, model: str | None = None) -> models.PricesAnswer:
        """The prices in force.

        Lists what calls cost now: a line for the ordinary price of each model that clients may request, in the order of
        models.list, then one for each tier of service for which the model has other rates. Each rate has its source.
        `lists` are the public price lists in force.

        Args:
            model: Only the prices of this model: its name, an alias, or provider/model. If no model has the name, the
                error is -32004.
        """
        return await self._call(methods.list_prices(model))

    async def refresh(self, price_list: str | None = None, dry_run: bool | None = None) -> models.PriceChangesAnswer:
        """Put a newer price list in force.

        Takes a price list of genai-prices without a restart: the given one, else the one of the file that
        billing.price_list of the settings names, else the one of the package as it is installed now. A given list is
        checked as a whole, and is kept in the broker's state directory: it stays in force after a restart, until
        prices.refresh is called again. Calls that have begun keep the prices with which they began. Prices of the
        settings are not changed. With dry_run, or if there is an error, nothing changes. Brokers that share a database
        are refreshed one by one.

        Args:
            price_list: The file data.json or data_slim.json as genai-prices publishes it, compressed with gzip and
                encoded in base64; at most 10,000,000 bytes before. Without it, the list of the settings or of the
                installed package is taken.
            dry_run: Return what would change, and change nothing; false if absent.
        """
        return await self._call(methods.refresh_prices(price_list, dry_run))


class AsyncProvidersMethods:
    """`providers.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def list(self) -> models.ProvidersAnswer:
        """Providers and their health.

        Lists the providers, and how they have responded to this broker since it started. Keys are counted, and never
        returned.
        """
        return await self._call(methods.list_providers())


class AsyncLabelsMethods:
    """`labels.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def set(self, target: str, label: str) -> models.LabelAnswer:
        """Name an address or a network.

        Reports show the label beside the address; if several networks that contain it have one, the smallest counts.
        Replaces an existing label of the target. At most 10,000 labels.

        Args:
            target: An address in any spelling, a network without host bits, or "unknown".
            label: Printable characters, without leading or trailing spaces.
        """
        return await self._call(methods.set_label(target, label))

    async def set_many(self, csv: str) -> models.LabelChangesAnswer:
        """Name many addresses and networks at once.

        Takes the text of a CSV file, and sets all of its labels or, if one line has a fault, none. Labels of other
        targets stay. Setting the same labels again changes nothing. At most 10,000 labels.

        Args:
            csv: Lines of a target and its label, each target once. The first line may be the header target,label; the
                separator is a comma, a semicolon or a tab.
        """
        return await self._call(methods.set_many_labels(csv))

    async def list(self) -> models.LabelsAnswer:
        """All labels.

        Lists IPv4, IPv6, then "unknown"; each by address, wider networks first.
        """
        return await self._call(methods.list_labels())

    async def get(self, target: str) -> models.LabelAnswer:
        """One label.

        Returns the label that reports show for a target: of an address, its own or that of the smallest network around
        it; of a network, its own or that of the smallest network that contains it. If there is none, the error is
        -32004.

        Args:
            target: An address in any spelling, a network without host bits, or "unknown".
        """
        return await self._call(methods.get_label(target))

    async def remove(self, target: str) -> models.LabelAnswer:
        """Remove a label.

        Returns the label that was removed.

        Args:
            target: The target of the label: an address in any spelling, a network without host bits, or "unknown".
        """
        return await self._call(methods.remove_label(target))


class AsyncLimitsMethods:
    """`limits.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def list(self) -> models.LimitsAnswer:
        """Limits in force.

        Lists the limits of the settings file and those of its [server], and those that were set while the broker runs,
        in the order in which they refuse, and how often each has refused or warned since the start.
        """
        return await self._call(methods.list_limits())

    async def status(
        self, name: str, limit: int | None = None, subject: LimitSubjectValues | None = None
    ) -> models.LimitStatusAnswer:
        """What is used of a limit.

        Lists the subjects of a limit that have used most of it: what is spent of a budget in its present window and
        what is held for calls in flight, else the calls in flight, or the requests or tokens per minute. Of subjects
        that have used nothing, only those with grants are listed, and the one that subject names in full, if the limit
        may count its calls.

        Args:
            name: The name of the limit.
            limit: The maximum number of subjects; 100 if absent.
            subject: Lists only the subjects with these values; all if absent.
        """
        return await self._call(methods.status_limit(name, limit, subject))

    async def get(self, name: str) -> models.DefinedLimitAnswer:
        """How a limit is defined.

        Returns the definition of a limit that was set, the limit as a sentence, and its grants in force.

        Args:
            name: The name of the limit.
        """
        return await self._call(methods.get_limit(name))

    async def set(self, name: str, definition: NewLimit) -> models.DefinedLimitAnswer:
        """Set a limit.

        Sets a limit while the broker runs, in place of one that was set under the same name. It is stored in the
        ledger's database, so it is kept over restarts, and brokers that share the database have it too. A limit of the
        settings file, or of [server], cannot be changed here. At most 1,000 limits, those of the settings file
        included.

        Args:
            name: 1 to 64 letters, digits, dots, hyphens and underscores of ASCII.
            definition: What the limit bounds, and for whom.
        """
        return await self._call(methods.set_limit(name, definition))

    async def remove(self, name: str) -> models.DefinedLimitAnswer:
        """Remove a limit.

        Removes a limit that was set, and ends its grants; returns the limit as it was. If it is set again later, it has
        no grants. A limit of the settings file, or of [server], cannot be removed here.

        Args:
            name: The name of the limit.
        """
        return await self._call(methods.remove_limit(name))

    async def grant(
        self,
        name: str,
        amount: Decimal,
        reason: str,
        subject: LimitSubjectValues | None = None,
        until: int | None = None,
    ) -> models.LimitGrantAnswer:
        """Grant more of a budget.

        Lets one subject of a budget use more than the amount, until a time or for ever; several grants add up. The
        limit may be of the settings file. A grant is kept with its reason, and cannot be changed, but limits.revoke
        ends it; limits.get lists those in force. At most 10,000 grants in force.

        Args:
            name: The name of a budget.
            amount: How much more, in the unit of the limit, above 0. USD have at most 9 decimal places; other units are
                whole.
            reason: Printable characters, without leading or trailing spaces.
            subject: Who may use more: a value for each dimension that the limit has counters by. May be absent if it
                has one counter for all calls.
            until: Unix seconds, in the future; the grant ends there. For ever if absent.
        """
        return await self._call(methods.grant_limit(name, amount, reason, subject, until))

    async def revoke(self, grant_id: int) -> models.LimitGrantAnswer:
        """End a grant.

        Ends a grant now: what it added to a budget is gone, and calls that are in flight go on. The grant is kept with
        its reason; its until becomes now. What was spent of it stays spent.

        Args:
            grant_id: The number of a grant in force; limits.get has it.
        """
        return await self._call(methods.revoke_limit(grant_id))

    async def explain(
        self,
        ip: str,
        model: str,
        kind: KindOfCall | None = None,
        context: str | None = None,
        body_bytes: int | None = None,
        max_output_tokens: int | None = None,
    ) -> models.ExplainedAdmissionAnswer:
        """What limits would do with a call.

        Returns which limits match a call of an address now, what the call would take or hold of each, what its subject
        has used, and whether each would admit it. Nothing is sent, taken or noted. Only limits are looked at: other
        rules may refuse the call, such as that of a model without a price.

        Args:
            ip: The address that calls, in any spelling, or "unknown".
            model: The model, as clients name it.
            kind: The kind of the call; that of the model if absent, or "chat" if it has none.
            context: The caller's own claim, from X-Hero-Context.
            body_bytes: The bytes of what the model reads, or the characters of a text that is spoken; 0 if absent.
            max_output_tokens: The bound on the output that the request has; none if absent.
        """
        return await self._call(methods.explain_limit(ip, model, kind, context, body_bytes, max_output_tokens))


class AsyncSystemMethods:
    """`system.…`"""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def health(self) -> models.Health:
        """State of the ledger.

        Returns whether the store accepts rows, and how many wait in the journal.
        """
        return await self._call(methods.health())

    async def info(self) -> models.Info:
        """Name and version of the broker.

        Returns the name, the version and the number of models.
        """
        return await self._call(methods.info())


class AsyncMethods:
    """All methods, by the first part of their names."""

    def __init__(self, call: AsyncCall) -> None:
        self.rpc = AsyncRpcMethods(call)
        self.billing = AsyncBillingMethods(call)
        self.models = AsyncModelsMethods(call)
        self.prices = AsyncPricesMethods(call)
        self.providers = AsyncProvidersMethods(call)
        self.labels = AsyncLabelsMethods(call)
        self.limits = AsyncLimitsMethods(call)
        self.system = AsyncSystemMethods(call)
