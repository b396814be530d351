"""Reads the operator's settings: text comes in; `cli` and `server` get checked and typed values."""

from hero_broker.settings.errors import Fault, SettingsError
from hero_broker.settings.load import ledger_url, listens_of, load, statements_of
from hero_broker.settings.model import (
    BillingSettings,
    LimitingSettings,
    Listen,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    ResponsesSettings,
    ServerSettings,
    Settings,
    StatementSettings,
    TcpListen,
    UnixListen,
    UpstreamSettings,
)

__all__ = [
    "BillingSettings",
    "Fault",
    "LimitingSettings",
    "Listen",
    "ModelSettings",
    "PriceSettings",
    "ProviderSettings",
    "ResponsesSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StatementSettings",
    "TcpListen",
    "UnixListen",
    "UpstreamSettings",
    "ledger_url",
    "listens_of",
    "load",
    "statements_of",
]
