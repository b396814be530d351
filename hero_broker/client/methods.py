"""The methods of the contract as typed questions; a client asks them, alone or as a batch.

Parameters and their order are the contract's. A window is half-open, in unix seconds UTC: `since` counts, `until` does
not. What is None is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from hero_broker.client import models

Answer = TypeVar("Answer")
Dimension = Literal["ip", "prefix", "model", "provider", "kind", "context", "api_key_id", "outcome"]
Bucket = Literal["hour", "day", "month"]


class Filter(TypedDict, total=False):
    """Which calls count; all of its members must hold."""

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
class Question(Generic[Answer]):
    """One method with its parameters, and the type of its answer."""

    method: str
    answer: type[Answer]
    params: Mapping[str, Any]


def _question(method: str, answer: type[Answer], **params: object) -> Question[Answer]:
    return Question(method, answer, {name: value for name, value in params.items() if value is not None})


def discover() -> Question[dict[str, Any]]:
    """Ask for the contract itself."""
    return _question("rpc.discover", dict[str, Any])


def usage_by_ip(
    since: int | None = None, until: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Question[models.UsageByIp]:
    """Ask for spend per address, largest first."""
    return _question("billing.usage_by_ip", models.UsageByIp, since=since, until=until, limit=limit, cursor=cursor)


def usage_for_ip(ip: str, since: int | None = None, until: int | None = None) -> Question[models.UsageForIp]:
    """Ask for one address's spend by model, largest first."""
    return _question("billing.usage_for_ip", models.UsageForIp, ip=ip, since=since, until=until)


def usage(
    group_by: Sequence[Dimension],
    since: int | None = None,
    until: int | None = None,
    bucket: Bucket | None = None,
    tz: str | None = None,
    filter: Filter | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: str | None = None,
    prefix_v4: int | None = None,
    prefix_v6: int | None = None,
    dense: bool | None = None,
) -> Question[models.UsageReport]:
    """Ask for usage by any dimensions, and by hour, day or month of a time zone."""
    return _question(
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
    filter: Filter | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: str | None = None,
) -> Question[models.RequestsPage]:
    """Ask for the calls themselves, newest first."""
    return _question(
        "billing.requests", models.RequestsPage, since=since, until=until, filter=filter, limit=limit, cursor=cursor
    )


def request(request_id: str) -> Question[models.RequestAnswer]:
    """Ask for one call, with how its cost came about."""
    return _question("billing.request", models.RequestAnswer, request_id=request_id)


def unbilled() -> Question[models.UnbilledAnswer]:
    """Ask for what is in no billing period yet."""
    return _question("billing.unbilled", models.UnbilledAnswer)


def mark_billed(reference: str, to_seq: int) -> Question[models.PeriodAnswer]:
    """Ask to close a billing period; asking again changes nothing."""
    return _question("billing.mark_billed", models.PeriodAnswer, reference=reference, to_seq=to_seq)


def periods() -> Question[models.PeriodsAnswer]:
    """Ask for all billing periods, the oldest first."""
    return _question("billing.periods", models.PeriodsAnswer)


def verify(since: int | None = None, until: int | None = None) -> Question[models.VerifyAnswer]:
    """Ask whether rows, sums and periods agree. Reads every call of the window."""
    return _question("billing.verify", models.VerifyAnswer, since=since, until=until)


def rebuild() -> Question[models.RebuildAnswer]:
    """Ask to have the sums of reports made anew."""
    return _question("billing.rebuild", models.RebuildAnswer)


def list_models() -> Question[models.ModelsAnswer]:
    """Ask for the models that are served, with prices."""
    return _question("models.list", models.ModelsAnswer)


def list_providers() -> Question[models.ProvidersAnswer]:
    """Ask for the providers, with their health."""
    return _question("providers.list", models.ProvidersAnswer)


def set_label(target: str, label: str) -> Question[models.LabelAnswer]:
    """Ask to name an address, a network, or "unknown"."""
    return _question("labels.set", models.LabelAnswer, target=target, label=label)


def list_labels() -> Question[models.LabelsAnswer]:
    """Ask for all labels."""
    return _question("labels.list", models.LabelsAnswer)


def remove_label(target: str) -> Question[models.LabelAnswer]:
    """Ask to remove a label."""
    return _question("labels.remove", models.LabelAnswer, target=target)


def health() -> Question[models.Health]:
    """Ask for the state of the ledger."""
    return _question("system.health", models.Health)


def info() -> Question[models.Info]:
    """Ask what runs there."""
    return _question("system.info", models.Info)
