"""`hero-broker doctor`: sends one call and follows it to the bill."""

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
from hero_broker.cli.printing import say, warn
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
            help="The chat model to call, by default the fake provider's or the first of the settings."
            " One call is made and billed, to this machine's address."
        ),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Prove the billing path: send one call, find its row, check price, sums and reports. Exit code 1 if it fails."""
    failed, asked = 0, broker_url(url)
    with open_backend(asked, token) as asker:
        for is_fine, said in _examine(asker, asked, model):
            say(f"{'ok  ' if is_fine else 'FAIL'}  {said}")
            failed += not is_fine
    if failed:
        warn(f"{failed} of these are wrong.")
        raise typer.Exit(FAILED)


def _examine(asker: Backend, url: str, wanted: str | None) -> Iterator[CheckResult]:
    """Yield what was found, step by step; end where the next step would rest on what failed."""
    health = asker.call(methods.health())
    rejected = f", which rejected {health.rejected_rows} rows" if health.rejected_rows else ""
    yield health.status == "ok", f"the broker is {health.status}, its database {health.store}{rejected}"
    for duty in health.duties:
        if duty.status == "failing":
            yield False, f"its duty {duty.duty} fails: {duty.last_error}"
    model = wanted or _served_model(asker)
    if model is None:
        yield False, "no chat model is configured; name one that is served with --model"
        return
    context = f"doctor-{secrets.token_hex(8)}"
    told = _call(url, model, context)
    yield from _failing(asker)
    if told.status_code != 200:
        yield False, f"a call to {model} was answered {told.status_code}: {told.text[:300]}"
        return
    request_id = told.headers.get("x-request-id", "")
    yield True, f"a call to {model} was answered as request {request_id}"
    found = _row(asker, request_id)
    if found is None:
        yield False, f"its row is not in the ledger after {STORED_WITHIN_S:.0f} s"
        return
    yield True, f"its row is number {found.seq} of the ledger, billed to {_named(found)}"
    yield _check_usage(found, told.json().get("usage"))
    yield _check_cost(found)
    yield _check_report(asker, found, context)
    verified = asker.call(methods.verify(found.started_at, found.started_at + 1)).data
    behind = f"; {verified.behind} rows are in no sum" if verified.behind else ""
    yield (
        verified.ok,
        f"{verified.rows} rows of this hour and the sums of reports have {verified.differences} differences{behind}",
    )


def _served_model(asker: Backend) -> str | None:
    """Return the configured chat model to call: one of the fake provider, which costs nothing, or the first."""
    served = asker.call(methods.list_models()).data
    chats = [one for one in served if one.configured and one.kind == "chat"]
    chats.sort(key=lambda one: one.provider != FAKE_PROVIDER)
    return chats[0].model if chats else None


def _call(url: str, model: str, context: str) -> httpx.Response:
    base, socket = base_url(url)
    transport = httpx.HTTPTransport(uds=socket) if socket else None
    body = {"model": model, "messages": [{"role": "user", "content": "Answer with one word."}]}
    with httpx.Client(base_url=base, transport=transport, timeout=CALL_WITHIN_S, trust_env=False) as client:
        return client.post("/v1/chat/completions", json=body, headers={"x-hero-context": context})


def _failing(asker: Backend) -> Iterator[CheckResult]:
    """Yield each provider whose last call failed, and why."""
    for one in asker.call(methods.list_providers()).data:
        if one.health.status == "failing":
            times = "call" if one.health.failed == 1 else "calls"
            yield False, f"the provider {one.provider} fails: {one.health.last_error_code}, {one.health.failed} {times}"


def _row(asker: Backend, request_id: str) -> models.ExplainedRequest | None:
    ends_at = time.monotonic() + STORED_WITHIN_S
    while True:
        try:
            return asker.call(methods.request(request_id)).data
        except RpcError as error:
            if error.code != -32004:
                raise
        if time.monotonic() > ends_at:
            return None
        time.sleep(LOOK_EVERY_S)


def _check_usage(row: models.ExplainedRequest, usage: Any) -> CheckResult:
    seen = f"{row.input_tokens} tokens in and {row.output_tokens} out, {row.usage_source}"
    if not isinstance(usage, dict):
        return row.usage_source == "estimated", f"{seen}; the answer told no usage"
    told = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (row.input_tokens, row.output_tokens) == told, f"{seen}; the answer told {told[0]} and {told[1]}"


def _check_cost(row: models.ExplainedRequest) -> CheckResult:
    if row.cost_nano_usd is None or row.cost_usd is None:
        return False, "no price is known for the model: it is counted as unpriced"
    parts = sum((Fraction(line.amount_usd) for line in row.cost.lines), Fraction(0))
    exact = Fraction(row.cost.exact_usd or 0)
    told = f"{row.cost_usd:f} USD, by {row.cost.price_source or row.cost.source}"
    adds_up = parts == exact or not row.cost.lines
    return adds_up and round(exact * NANO) == int(
        row.cost_nano_usd
    ), f"it cost {told}; its parts sum to {row.cost.exact_usd}"


def _check_report(asker: Backend, row: models.ExplainedRequest, context: str) -> CheckResult:
    window = row.started_at, row.started_at + 1
    totals = asker.call(methods.usage([], *window, filter={"context": context})).totals
    mine = asker.call(methods.usage_for_ip(row.ip, *window)).data.totals
    cost = row.cost_usd or Decimal(0)
    fine = (totals.requests, totals.total_cost_usd) == (1, cost) and mine.total_cost_usd >= cost
    return fine, f"reports show it: {totals.requests} request, {totals.total_cost_usd:f} USD"


def _named(row: models.ExplainedRequest) -> str:
    return row.ip if row.label is None else f"{row.ip} ({row.label})"
