"""The methods of the contract as typed queries; a client sends them, alone or as a batch.

Parameters and their order are the contract's. A window is half-open, in unix seconds UTC: `since` counts, `until` does
not. Parameters that are None are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from hero_broker.client import models

Answer = TypeVar("Answer")
Dimension = Literal["ip", "prefix", "model", "provider", "kind", "context", "api_key_id", "outcome"]
Bucket = Literal["hour", "day", "month"]


class QueryFilter(TypedDict, total=False):
    """Which calls count; a call must match all members."""

    ip: str | None
    prefix: str | None  # a network, such as 192.0.2.0/24
    model: str | None
    provider: str | None
    kind: str | None
    context: str | None
    api_key_id: str | None
    outcome: str | None
    period: str | None  # the reference of a billing period


@dataclass(frozen=True, slots=True)
class Query(Generic[Answer]):
    """One method with its parameters, and the type of its answer."""

    method: str
    answer: type[Answer]
    params: Mapping[str, Any]


def _query(method: str, answer: type[Answer], **params: object) -> Query[Answer]:
    return Query(method, answer, {name: value for name, value in params.items() if value is not None})


def discover() -> Query[dict[str, Any]]:
    """Ask for the contract itself."""
    return _query("rpc.discover", dict[str, Any])


def usage_by_ip(
    since: int | None = None, until: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Query[models.UsageByIp]:
    """Ask for spend per address, largest first."""
    return _query("billing.usage_by_ip", models.UsageByIp, since=since, until=until, limit=limit, cursor=cursor)


def usage_for_ip(ip: str, since: int | None = None, until: int | None = None) -> Query[models.UsageForIp]:
    """Ask for one address's spend by model, largest first."""
    return _query("billing.usage_for_ip", models.UsageForIp, ip=ip, since=since, until=until)


def usage(
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
) -> Query[models.UsageReport]:
    """Ask for usage by any dimensions, and by hour, day or month of a time zone."""
    return _query(
        "billing.usage",
        models.UsageReport,
        group_by=list(group_by),
        since=since,
        until=until,
        bucket=bucket,
        tz=tz,
        filter=filter,
        limit=limit,
        cursor=cursor,
        prefix_v4=prefix_v4,
        prefix_v6=prefix_v6,
        dense=dense,
    )


def requests(
    since: int | None = None,
    until: int | None = None,
    filter: QueryFilter | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: str | None = None,
) -> Query[models.RequestsPage]:
    """Ask for the calls themselves, newest first."""
    return _query(
        "billing.requests", models.RequestsPage, since=since, until=until, filter=filter, limit=limit, cursor=cursor
    )


def request(request_id: str) -> Query[models.RequestAnswer]:
    """Ask for one call, with how its cost came about."""
    return _query("billing.request", models.RequestAnswer, request_id=request_id)


def unbilled() -> Query[models.UnbilledAnswer]:
    """Ask for what is in no billing period yet."""
    return _query("billing.unbilled", models.UnbilledAnswer)


def mark_billed(reference: str, to_seq: int) -> Query[models.PeriodAnswer]:
    """Ask to close a billing period; asking again changes nothing."""
    return _query("billing.mark_billed", models.PeriodAnswer, reference=reference, to_seq=to_seq)


def periods() -> Query[models.PeriodsAnswer]:
    """Ask for all billing periods, the oldest first."""
    return _query("billing.periods", models.PeriodsAnswer)


def verify(since: int | None = None, until: int | None = None) -> Query[models.VerifyAnswer]:
    """Ask whether rows, sums and periods agree. Reads every call of the window."""
    return _query("billing.verify", models.VerifyAnswer, since=since, until=until)


def rebuild() -> Query[models.RebuildAnswer]:
    """Ask to rebuild the sums of reports."""
    return _query("billing.rebuild", models.RebuildAnswer)


def list_models() -> Query[models.ModelsAnswer]:
    """Ask for the models that are served, with prices."""
    return _query("models.list", models.ModelsAnswer)


def list_providers() -> Query[models.ProvidersAnswer]:
    """Ask for the providers, with their health."""
    return _query("providers.list", models.ProvidersAnswer)


def set_label(target: str, label: str) -> Query[models.LabelAnswer]:
    """Ask to name an address, a network, or "unknown"."""
    return _query("labels.set", models.LabelAnswer, target=target, label=label)


def list_labels() -> Query[models.LabelsAnswer]:
    """Ask for all labels."""
    return _query("labels.list", models.LabelsAnswer)


def remove_label(target: str) -> Query[models.LabelAnswer]:
    """Ask to remove a label."""
    return _query("labels.remove", models.LabelAnswer, target=target)


def health() -> Query[models.Health]:
    """Ask for the state of the ledger."""
    return _query("system.health", models.Health)


def info() -> Query[models.Info]:
    """Ask for the name and version of the broker."""
    return _query("system.info", models.Info)
