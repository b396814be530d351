"""Asks a broker by the client that was generated, which PYTHONPATH names, and prints the answers."""
# mypy: disable-error-code="import-not-found"

import asyncio
import inspect
import json
import os
import sys
from typing import Any

from hero_broker_admin_http_client.client import HeroBrokerAdminClient
from hero_broker_admin_http_client.models import Filter
from jsonrpcobjects.errors import ServerError


async def refusal(call: Any) -> list[object]:
    try:
        await call
    except ServerError as error:
        return [error.rpc_error.code, error.rpc_error.message]
    raise AssertionError


async def answers() -> dict[str, object]:
    headers = {"authorization": f"Bearer {os.environ['ADMIN_TOKEN']}"}
    admin = HeroBrokerAdminClient(headers, f"{os.environ['BROKER_URL']}/rpc")
    by_ip = await admin.billing.usage_by_ip()
    for_ip = await admin.billing.usage_for_ip("127.0.0.1", until=4102444800)
    report = await admin.billing.usage(["model", "kind"], bucket="day", tz="Europe/Berlin")
    elsewhere = await admin.billing.usage(["ip"], filter=Filter(prefix="192.0.2.0/24"))
    newest = await admin.billing.requests(limit=1)
    explained = await admin.billing.request(newest.data[0].request_id)
    set_ = await admin.labels.set("127.0.0.0/8", "loopback")
    labelled = await admin.labels.list()
    removed = await admin.labels.remove("127.0.0.0/8")
    left = await admin.labels.list()
    refused = await refusal(admin.labels.remove("127.0.0.0/8"))
    health = await admin.system.health()
    models = await admin.models.list()
    return {
        "methods": [
            f"{group}.{name}"
            for group, methods in vars(admin).items()
            if group != "transport"
            for name, _ in inspect.getmembers(methods, inspect.iscoroutinefunction)
        ],
        "by_ip": [[one.ip, one.total_cost_nano_usd] for one in by_ip.data],
        "for_ip": [[one.model, one.total_tokens, one.total_cost_nano_usd] for one in for_ip.data.models],
        "report": [[one.group, one.total_cost_nano_usd] for one in report.data],
        "elsewhere": [len(elsewhere.data), elsewhere.totals.total_cost_nano_usd],
        "exact_usd": explained.data.cost.exact_usd,
        "set": [set_.data.target, set_.data.label],
        "labelled": [[one.target, one.label] for one in labelled.data],
        "removed": removed.data.label,
        "left": left.data,
        "refused": refused,
        "health": [health.status, health.journal_pending],
        "rates": next(one.price.rates.input_per_million for one in models.data if one.model == "fake-chat"),
    }


sys.stdout.write(json.dumps(asyncio.run(answers())))
