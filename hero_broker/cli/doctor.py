"""`hero-broker doctor`: sends one call and checks each step to its bill."""

import secrets
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import httpx
import typer

from hero_broker.cli.backend import Backend, TokenOption, UrlOption, broker_url, open_backend
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.printing import counted, say, warn
from hero_broker.client import RpcError, methods, models
from hero_broker.client.jsonrpc import base_url

FAKE_PROVIDER = "fake"
CALL_WITHIN_S, STORED_WITHIN_S, LOOK_EVERY_S = 120.0, 10.0, 0.1
NANO = 1_000_000_000

EXAMPLES = """Examples:

hero-broker doctor

hero-broker doctor --model gpt-4o-mini"""

CheckResult = tuple[bool, str]


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            help="The chat model to call; by default the fake provider's, else the first one in the settings."
            " One call is made and billed, to this machine's address."
        ),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Prove the billing path: send one call, find its row, check price, sums and reports. Exit code 1 if it fails."""
    failed, base = 0, broker_url(url)
    with open_backend(base, token) as backend:
        for is_fine, message in _examine(backend, base, model):
            say(f"{'ok  ' if is_fine else 'FAIL'}  {message}")
            failed += not is_fine
    if failed:
        warn(f"Checks that failed: {failed}.")
        raise typer.Exit(FAILED)


def _examine(backend: Backend, url: str, model: str | None) -> Iterator[CheckResult]:
    """Yield the result of each check; stop if the next one depends on a check that failed."""
    health = backend.call(methods.health())
    rejected = f", which rejected {counted(health.rejected_rows, 'row')}" if health.rejected_rows else ""
    yield health.status == "ok", f"the broker is {health.status}, its database {health.store}{rejected}"
    for duty in health.duties:
        if duty.status == "failing":
            yield False, f"its duty {duty.duty} is failing: {duty.last_error}"
    model = model or _served_model(backend)
    if model is None:
        yield False, "no chat model is configured; name one with --model"
        return
    context = f"doctor-{secrets.token_hex(8)}"
    response = _call(url, model, context)
    yield from _failing_providers(backend)
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
    yield _check_usage(row, response.json().get("usage"))
    yield _check_cost(row)
    yield _check_report(backend, row, context)
    verified = backend.call(methods.verify(row.started_at, row.started_at + 1)).data
    behind = f"; in no sum: {counted(verified.behind, 'row')}" if verified.behind else ""
    yield (
        verified.ok,
        f"{counted(verified.rows, 'row')} of this hour and the sums in reports have"
        f" {counted(verified.differences, 'difference')}{behind}",
    )


def _served_model(backend: Backend) -> str | None:
    """Return the chat model to call: the fake provider's, which costs nothing, else the first configured one."""
    inventory = backend.call(methods.list_models()).data
    chat_models = [item for item in inventory if item.configured and item.kind == "chat"]
    chat_models.sort(key=lambda item: item.provider != FAKE_PROVIDER)
    return chat_models[0].model if chat_models else None


def _call(url: str, model: str, context: str) -> httpx.Response:
    base, socket = base_url(url)
    transport = httpx.HTTPTransport(uds=socket) if socket else None
    body = {"model": model, "messages": [{"role": "user", "content": "Answer with one word."}]}
    with httpx.Client(base_url=base, transport=transport, timeout=CALL_WITHIN_S, trust_env=False) as client:
        return client.post("/v1/chat/completions", json=body, headers={"x-hero-context": context})


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


def _check_usage(row: models.ExplainedRequest, usage: Any) -> CheckResult:
    billed = f"{row.input_tokens} tokens in and {row.output_tokens} out, {row.usage_source}"
    if not isinstance(usage, dict):
        return row.usage_source == "estimated", f"{billed}; the response reports no usage"
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (
        row.input_tokens,
        row.output_tokens,
    ) == tokens, f"{billed}; the response reports {tokens[0]} and {tokens[1]}"


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
