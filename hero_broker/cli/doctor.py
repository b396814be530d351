"""`hero-broker doctor`: sends one call, checks each step to its bill, and whether a limit refuses a second one."""

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import httpx
import msgspec
import typer
from msgspec.structs import fields

from hero_broker.cli.backend import Backend, TokenOption, UrlOption, broker_url, open_backend
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.me import ErrorBody
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import say
from hero_broker.client import RpcError, methods, models
from hero_broker.client.jsonrpc import base_url
from hero_broker.core.usage import Usage
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import DEFAULT_KIND, KINDS
from hero_broker.kinds.usage_dialect import usage_dialect_of

FAKE_PROVIDER = "fake"
CALL_WITHIN_S, STORED_WITHIN_S, LOOK_EVERY_S = 120.0, 10.0, 0.1
NANO, HOUR_S = 1_000_000_000, 3_600
REFUSED, UNAVAILABLE = (402, 429), 503  # statuses; the first two are those of budgets
UNITS = tuple(field.name for field in fields(Usage))

EXAMPLES = """Examples:

hero-broker doctor

hero-broker doctor --model gpt-4o-mini"""

CheckResult = tuple[bool, str]


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            help="The model to call, of any kind; by default the fake provider's for chats, else the first one in the"
            " settings. One call is made and billed, to this machine's address."
        ),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Prove the billing path: send one call, find its row, check price, sums and reports. Then trip a limit.

    The limit admits one call of this command, and is removed at the end. Exit code 1 if a check fails.
    """
    failed, base, mark = 0, broker_url(url), f"doctor-{secrets.token_hex(8)}"
    with open_backend(base, token) as backend:
        try:
            for is_fine, message in _examine(backend, base, model, mark):
                say(f"{'ok  ' if is_fine else 'FAIL'}  {message}")
                failed += not is_fine
        finally:
            with suppress(RpcError):  # it may not be set
                backend.call(methods.remove_limit(mark))
    if failed:
        warn(f"Checks that failed: {failed}.")
        raise typer.Exit(FAILED)


def _examine(backend: Backend, url: str, model: str | None, mark: str) -> Iterator[CheckResult]:
    """Yield the result of each check; stop if the next one depends on a check that failed.

    `mark` is the context of its calls, and the name of the limit that it sets for them.
    """
    health = backend.call(methods.health())
    rejected = f", which rejected {counted(health.rejected_rows, 'row')}" if health.rejected_rows else ""
    yield health.status == "ok", f"the broker is {health.status}, its database {health.store}{rejected}"
    for duty in health.duties:
        if duty.status == "failing":
            yield False, f"its duty {duty.duty} is failing: {duty.last_error}"
    called = _called_model(backend, model)
    if called is None:
        yield False, f"no model for {DEFAULT_KIND} is configured; name one with --model"
        return
    model, kind = called
    not_set = _set_limit(backend, mark)
    response = _admitted_call(url, kind, model, mark)
    yield from _failing_providers(backend)
    refusing = _refusing_limit(backend, response)
    if refusing is not None:
        yield False, _refused_by(refusing, model, response)
        return
    if response.status_code != 200:
        yield False, f"the call to {model} failed with status {response.status_code}: {response.text[:300]}"
        return
    request_id = response.headers.get("x-request-id", "")
    yield True, f"the call to {model} succeeded, as request {request_id}"
    row = _row(backend, request_id)
    if row is None:
        yield False, f"its row is not in the ledger after {STORED_WITHIN_S:.0f} s"
        return
    yield True, f"its row is number {row.seq} of the ledger, billed to {_name_of_ip(row)}"
    report = kind.report(response.content, usage_dialect_of(row.provider, url))
    yield _check_usage(row, report.usage)
    yield _check_cost(row)
    yield _check_report(backend, row, mark)
    yield (False, f"a limit cannot be set: {not_set}") if not_set else _check_limit(backend, url, kind, model, mark)
    verified = backend.call(methods.verify(row.started_at, row.started_at + 1)).data
    behind = f"; newer than the sums: {counted(verified.behind, 'row')}" if verified.behind else ""
    yield (
        verified.ok,
        f"{counted(verified.rows, 'row')} of this hour and the sums in reports have"
        f" {counted(verified.differences, 'difference')}{behind}",
    )


def _set_limit(backend: Backend, mark: str) -> str | None:
    """Set a budget of one call with a context; return why it cannot be set."""
    definition: methods.NewLimit = {
        "unit": "requests",
        "amount": Decimal(1),
        "window": "hour",
        "match": {"context": mark},
        "shared": False,
    }
    try:
        backend.call(methods.set_limit(mark, definition))
    except RpcError as error:
        return str(error)
    return None


def _check_limit(backend: Backend, url: str, kind: Kind, model: str, mark: str) -> CheckResult:
    """Make a second call, which the limit must refuse, unless another one refuses it before."""
    hour = int(time.time()) // HOUR_S
    response = _call(url, kind, model, mark)
    if response.status_code == 200 and int(time.time()) // HOUR_S != hour:  # a new hour has a call of its own
        response = _call(url, kind, model, mark)
    is_refused = response.status_code in REFUSED and mark in response.text
    refusing = None if is_refused else _refusing_limit(backend, response)
    if refusing is not None:
        return True, f"a second call is refused by the limit {refusing}, with status {response.status_code}"
    text = "is refused" if is_refused else f"is not refused: {response.text[:300]}"
    return is_refused, f"with a limit of one call, a second one {text}, with status {response.status_code}"


def _refusing_limit(backend: Backend, response: httpx.Response) -> str | None:
    """Return the name of the limit that refused a call; None if none did, or one of [server], which is not named."""
    if response.status_code not in REFUSED:
        return None
    limits = backend.call(methods.list_limits()).data
    return next((one.name for one in limits if repr(one.name) in response.text), None)


def _refused_by(limit: str, model: str, response: httpx.Response) -> str:
    """Return why the rest cannot be checked, and what the operator can do."""
    try:
        said = msgspec.json.decode(response.content, type=ErrorBody).error.message
    except msgspec.DecodeError:
        said = response.text[:300]
    return (
        f"the limit {limit} works: it refuses the call to {model} with status {response.status_code}, so nothing else"
        f" is checked. {said} Call from an address or with a --model that it does not count, or, if it is a budget,"
        f" grant this address more with `hero-broker limits grant {limit}`"
    )


def _called_model(backend: Backend, name: str | None) -> tuple[str, Kind] | None:
    """Return the model to call, and its kind; None if there is none.

    Without a name, the fake provider's model for the default kind, which costs nothing, else the first configured one.
    """
    inventory = [item for item in backend.call(methods.list_models()).data if item.configured]
    if name is not None:
        named = [item for item in inventory if name in (item.model, *item.aliases)]
        return name, _kind_of(backend, named[0]) if named else KINDS[DEFAULT_KIND]
    suitable = [item for item in inventory if item.kind == DEFAULT_KIND]
    suitable.sort(key=lambda item: item.provider != FAKE_PROVIDER)
    return (suitable[0].model, _kind_of(backend, suitable[0])) if suitable else None


def _kind_of(backend: Backend, model: models.Model) -> Kind:
    """Return the kind of the call for a model: the first one for such models whose wire its provider speaks."""
    providers = backend.call(methods.list_providers()).data
    wires = [wire for item in providers if item.provider == model.provider for wire in item.wires]
    kinds = [kind for kind in KINDS.values() if kind.of_models == (model.kind or DEFAULT_KIND)]
    return next((kind for kind in kinds if kind.wire in wires), kinds[0])


def _admitted_call(url: str, kind: Kind, model: str, context: str) -> httpx.Response:
    """Make a call; wait while the broker adds up what its new limit has to count."""
    ends_at = time.monotonic() + STORED_WITHIN_S
    while True:
        response = _call(url, kind, model, context)
        if response.status_code != UNAVAILABLE or time.monotonic() > ends_at:
            return response
        time.sleep(LOOK_EVERY_S)


def _call(url: str, kind: Kind, model: str, context: str) -> httpx.Response:
    base, socket = base_url(url)
    transport = httpx.HTTPTransport(uds=socket) if socket else None
    content_type, body = kind.example_body(model)
    headers = {"x-hero-context": context, "content-type": content_type}
    with httpx.Client(base_url=base, transport=transport, timeout=CALL_WITHIN_S, trust_env=False) as client:
        return client.post(next(iter(kind.paths)), content=body, headers=headers)


def _failing_providers(backend: Backend) -> Iterator[CheckResult]:
    """Yield each provider whose last call failed, and why."""
    for item in backend.call(methods.list_providers()).data:
        health = item.health
        if health.status == "failing":
            yield (
                False,
                f"the provider {item.provider} is failing: {health.last_error_code}, {counted(health.failed, 'call')}",
            )


def _row(backend: Backend, request_id: str) -> models.ExplainedRequest | None:
    ends_at = time.monotonic() + STORED_WITHIN_S
    while True:
        try:
            return backend.call(methods.request(request_id)).data
        except RpcError as error:
            if error.code != -32004:
                raise
        if time.monotonic() > ends_at:
            return None
        time.sleep(LOOK_EVERY_S)


def _check_usage(row: models.ExplainedRequest, reported: Usage | None) -> CheckResult:
    """Compare the row with what the response reports; both may have no usage."""
    units = {name: value for name in UNITS if (value := getattr(row, name)) is not None}
    billed = f"{', '.join(f'{value} {name}' for name, value in units.items()) or 'no units'}, {row.usage_source}"
    if reported is None:
        return row.usage_source != "reported" or row.characters is not None, f"{billed}; the response reports no usage"
    counts = {name: value for name in UNITS if (value := getattr(reported, name)) is not None}
    counted = ", ".join(f"{value} {name}" for name, value in counts.items())
    return counts.items() <= units.items(), f"{billed}; the response reports {counted}"


def _check_cost(row: models.ExplainedRequest) -> CheckResult:
    if row.cost_nano_usd is None or row.cost_usd is None:
        return False, "no price is known for the model: the call is counted as unpriced"
    parts = sum((Fraction(line.amount_usd) for line in row.cost.lines), Fraction(0))
    exact = Fraction(row.cost.exact_usd or 0)
    cost = f"{row.cost_usd:f} USD, by {row.cost.price_source or row.cost.source}"
    adds_up = parts == exact or not row.cost.lines
    is_right = adds_up and round(exact * NANO) == int(row.cost_nano_usd)
    return is_right, f"its cost is {cost}; the sum of its parts is {row.cost.exact_usd}"


def _check_report(backend: Backend, row: models.ExplainedRequest, context: str) -> CheckResult:
    window = row.started_at, row.started_at + 1
    totals = backend.call(methods.usage([], *window, filter={"context": context})).totals
    mine = backend.call(methods.usage_for_ip(row.ip, *window)).data.totals
    cost = row.cost_usd or Decimal(0)
    is_right = (totals.requests, totals.total_cost_usd) == (1, cost) and mine.total_cost_usd >= cost
    return is_right, f"reports show it: {counted(totals.requests, 'request')}, {totals.total_cost_usd:f} USD"


def _name_of_ip(row: models.ExplainedRequest) -> str:
    return row.ip if row.label is None else f"{row.ip} ({row.label})"
