"""Defines the settings as frozen, checked and typed values, for `cli` and `server`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from hero_broker.core.addresses import parse_ip
from hero_broker.kinds.wires import default_wires
from hero_broker.limits.headers import OPENAI
from hero_broker.limits.limit import Limit

SQLITE = "sqlite:///"  # prefix of the URL of a ledger in a file

IpNetwork = IPv4Network | IPv6Network

DEFAULT_ALLOWED_CLIENTS: tuple[IpNetwork, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fe80::/10",
        "100.64.0.0/10",
        "fc00::/7",
        "400::/7",
    )
)


@dataclass(frozen=True, slots=True)
class TcpListen:
    """An address and port to accept connections on."""

    host: str  # canonical address, or "localhost"
    port: int  # 0 lets the system choose

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host == "localhost" or parse_ip(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixListen:
    """A Unix socket to accept connections on; its callers are billed as "unknown"."""

    path: Path  # absolute

    def __str__(self) -> str:
        return f"unix:{self.path}"


Listen = TcpListen | UnixListen


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the broker listens, which peers it trusts, and its limits."""

    listen: tuple[Listen, ...] = (TcpListen("127.0.0.1", 33850), TcpListen("::1", 33850))
    allowed_clients: tuple[IpNetwork, ...] = DEFAULT_ALLOWED_CLIENTS
    allowed_origins: tuple[str, ...] = ()  # of web pages that may call, in the spelling of browsers
    trusted_proxies: tuple[IpNetwork, ...] = ()
    trust_unix: bool = False  # the word "unix" among the file's trusted_proxies
    trusted_header: str = "x-forwarded-for"  # or "forwarded", "x-real-ip"
    max_body_bytes: int = 20_000_000
    max_audio_bytes: int = 100_000_000
    max_answer_bytes: int = 32_000_000
    max_calls: int = 1000
    max_calls_per_address: int = 750  # three quarters of `max_calls` unless the file sets it
    header_timeout_s: float = 10
    body_timeout_s: float = 60
    grace_s: float = 15
    fast_path: bool = True  # common requests and responses take a shorter way; False rules it out as a cause


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """How long the broker waits for a provider."""

    connect_timeout_s: float = 5
    first_byte_timeout_s: float = 60
    idle_timeout_s: float = 60
    total_timeout_s: float = 600
    whole_answer_timeout_s: float = 600  # at most `total_timeout_s`


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """What the ledger guarantees, and what happens at its limits."""

    durability: str = "journal"  # or "fsync"
    on_database_error: str = "spool"  # or "refuse"
    on_disconnect: str = "drain"  # or "cancel"
    drain_max_s: float = 20
    drain_max_tokens: int = 100_000
    drain_max_calls: int = 100
    journal_max_bytes: int = 1_000_000_000
    unpriced: str = "allow"  # or "refuse"
    price_list: Path | None = None  # a list as genai-prices publishes it; None: that of the installed package


@dataclass(frozen=True, slots=True)
class ResponsesSettings:
    """Limits of OpenAI's Responses, and of Anthropic's Messages."""

    # The last event of Responses repeats the whole response, with all images in it.
    max_event_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """An upstream, and how to reach it."""

    name: str
    base_url: str  # without a slash at the end
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # resolved; empty if the provider needs none
    stream_usage: bool = True  # whether it accepts `stream_options`
    timeouts: UpstreamSettings | None = None  # its own; None: those of `[upstream]`
    price_factor: Decimal = Decimal(1)  # on prices of the price list, for a region or a reseller
    wires: Mapping[str, str] = field(default_factory=dict)  # the wires that it speaks, each with its base URL
    auth: str | None = None  # how keys are sent, "bearer" or "x-api-key"; None: as is usual on the wire
    drop_betas: tuple[str, ...] = ()  # of the header `anthropic-beta`

    @property
    def wire_urls(self) -> Mapping[str, str]:
        """The base URLs by wire; by default those of its `base_url`."""
        return self.wires or dict.fromkeys(default_wires(self.base_url), self.base_url)


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """Prices in USD that override the price list; None if the file sets none."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None
    cache_write_1h_per_million: Decimal | None = None
    image_input_per_million: Decimal | None = None
    image_output_per_million: Decimal | None = None
    characters_per_million: Decimal | None = None
    audio_per_minute: Decimal | None = None
    audio_minimum_s: Decimal | None = None  # seconds, not USD: the least that is billed per call
    per_thousand_searches: Decimal | None = None
    web_searches_per_thousand: Decimal | None = None
    file_searches_per_thousand: Decimal | None = None
    per_image: Decimal | None = None
    per_request: Decimal | None = None
    per_second: Decimal | None = None
    per_gpu_second: Decimal | None = None
    gpus: Decimal | None = None  # not USD: how many GPUs serve the model, or which part of one


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model: the name that clients use, and the provider and upstream model that serve it."""

    name: str
    aliases: tuple[str, ...]
    kind: str
    provider: str
    upstream_model: str
    price: PriceSettings | None = None
    # By tier of service: the rates that replace those of `price`. Empty without a price.
    price_tiers: Mapping[str, PriceSettings] = field(default_factory=dict)
    max_output_tokens: int | None = None  # that the model answers at most; None: not known


@dataclass(frozen=True, slots=True)
class StatementSettings:
    """Who issues the statements, and what stands below them; empty texts are left out."""

    issuer: str = ""  # the file's key `from`
    contact: str = ""  # may have several lines, as `note` may
    note: str = ""


@dataclass(frozen=True, slots=True)
class LimitingSettings:
    """What holds for all limits."""

    headers: tuple[str, ...] = (OPENAI,)  # the forms of the headers that callers get, of `limits.headers.HEADERS`
    budget_status: int = 402  # of calls that a budget has no room for, or 429
    self_service: bool = True  # callers may ask for their own usage


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked."""

    server: ServerSettings
    upstream: UpstreamSettings
    database_url: str = field(repr=False)  # may hold a password
    state_dir: Path  # absolute; may not exist yet
    billing: BillingSettings
    providers: tuple[ProviderSettings, ...]
    models: tuple[ModelSettings, ...]
    default_models: Mapping[str, str]  # the model of requests that name none, by kind
    admin_tokens: tuple[str, ...] = field(repr=False)  # empty in dev mode
    insecure_dev: bool
    fake: bool  # the broker adds a provider named "fake"
    responses: ResponsesSettings = ResponsesSettings()
    statements: StatementSettings = StatementSettings()
    limits: tuple[Limit, ...] = ()  # beside those of `[server]`
    limiting: LimitingSettings = LimitingSettings()
    warnings: tuple[str, ...] = ()  # sentences about accepted but unsafe or doubtful settings, without secrets

    @property
    def price_factors(self) -> Mapping[str, Decimal]:
        """The factors on prices of the price list, by provider; a missing one is 1."""
        return {provider.name: provider.price_factor for provider in self.providers if provider.price_factor != 1}

    @property
    def database_url_absolute(self) -> str:
        """The database's URL; a relative SQLite file is in the state directory."""
        return absolute_database(self.database_url, self.state_dir)


def absolute_database(url: str, state_dir: Path) -> str:
    """Return the absolute URL of a database; a relative SQLite file is in `state_dir`."""
    if not url.startswith(SQLITE):
        return url
    path, mark, query = url.removeprefix(SQLITE).partition("?")
    return f"{SQLITE}{state_dir / path}{mark}{query}"
