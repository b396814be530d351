"""What the operator chose: the one reader of the environment and of `hero-broker.toml`.

Values enter here as text and leave checked and typed, for `cli`, `server` and `app`; `docs/reference/settings.md` lists
every key.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import platformdirs

from hero_broker.core.addresses import parse_ip
from hero_broker.core.calls import CallKind

IpNetwork = IPv4Network | IPv6Network
T = TypeVar("T")

DEFAULT_FILE = "hero-broker.toml"  # in the working directory, if it is there
FAKE_PROVIDER = "fake"  # the name of the built-in provider that `--fake` adds
MAX_NAME_LENGTH = 200  # characters of a model, provider or upstream model
MAX_PRICE = 1_000_000_000  # USD per unit
MAX_PRICE_PLACES = 12  # decimal places, so that sums of parts stay exact
MAX_UNIX_PATH_BYTES = 107  # Linux's sun_path without its closing zero

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

# Name, base URL, a variable with one key, a variable with several.
_KNOWN_PROVIDERS: tuple[tuple[str, str, str, str | None], ...] = (
    ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", None),
    ("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "OPENROUTER_API_KEYS"),
    ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "GROQ_API_KEYS"),
    ("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", None),
    ("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", None),
)

_LISTEN_FORM = 'must be "ADDRESS:PORT", "[IPV6]:PORT", "localhost:PORT" or "unix:/ABSOLUTE/PATH"'
_CIDR_FORM = 'must be an address or a CIDR without host bits, such as "10.0.0.0/8" or "400::/7"'
_DATABASE_FORM = 'must be "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST:PORT/NAME"'
_BASE_URL_FORM = 'must be an http:// or https:// URL without user, query or fragment, such as "https://host/v1"'
_NAME_FORM = f"must be 1 to {MAX_NAME_LENGTH} printable characters without a space at either end"
_API_KEY_FORM = 'must be "env:NAME", "file:PATH" or the key itself, in printable ASCII without spaces'


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the settings; never shows a secret."""

    key: str  # as in `models[0].price.input_per_million`, or the flag or variable
    problem: str  # names the accepted form

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


class SettingsError(Exception):
    """The settings cannot be used; carries every fault at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


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
    """Where the broker listens, whom it believes, and how much it takes."""

    listen: tuple[Listen, ...] = (TcpListen("127.0.0.1", 33850), TcpListen("::1", 33850))
    allowed_clients: tuple[IpNetwork, ...] = DEFAULT_ALLOWED_CLIENTS
    trusted_proxies: tuple[IpNetwork, ...] = ()
    trust_unix: bool = False  # the word "unix" among the file's trusted_proxies
    trusted_header: str = "x-forwarded-for"  # or "forwarded"
    max_body_bytes: int = 20_000_000
    max_audio_bytes: int = 100_000_000
    max_answer_bytes: int = 32_000_000
    max_calls: int = 1000
    header_timeout_s: float = 10
    body_timeout_s: float = 60
    grace_s: float = 15


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """How long the broker waits for a provider."""

    connect_timeout_s: float = 5
    first_byte_timeout_s: float = 60
    idle_timeout_s: float = 60
    total_timeout_s: float = 600


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """What the ledger promises, and what happens at its limits."""

    durability: str = "journal"  # or "fsync"
    on_database_error: str = "spool"  # or "refuse"
    on_disconnect: str = "drain"  # or "cancel"
    drain_max_s: float = 20
    drain_max_tokens: int = 100_000
    drain_max_calls: int = 100
    journal_max_bytes: int = 1_000_000_000
    unpriced: str = "allow"  # or "refuse"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """An upstream that speaks OpenAI's dialect."""

    name: str
    base_url: str  # without a slash at the end
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # resolved; empty for a provider that asks for none
    stream_usage: bool = True  # whether it accepts `stream_options`


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """Prices in USD that override the price list; None where the file says nothing."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None
    characters_per_million: Decimal | None = None
    audio_per_minute: Decimal | None = None
    audio_minimum_s: Decimal | None = None  # seconds, not USD: the least that is billed per call
    per_thousand_searches: Decimal | None = None
    per_request: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model as clients ask for it, and who serves it."""

    name: str
    aliases: tuple[str, ...]
    kind: CallKind
    provider: str
    upstream_model: str
    price: PriceSettings | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the operator chose, checked."""

    server: ServerSettings
    upstream: UpstreamSettings
    database_url: str = field(repr=False)  # may hold a password
    state_dir: Path  # absolute; not necessarily there yet
    billing: BillingSettings
    providers: tuple[ProviderSettings, ...]
    models: tuple[ModelSettings, ...]
    admin_tokens: tuple[str, ...] = field(repr=False)  # empty in dev mode
    insecure_dev: bool
    fake: bool  # the app adds a provider named "fake"

    @property
    def database_url_absolute(self) -> str:
        """Return the database's URL, a relative SQLite file placed in the state directory."""
        prefix = "sqlite:///"
        if not self.database_url.startswith(prefix):
            return self.database_url
        path, mark, query = self.database_url.removeprefix(prefix).partition("?")
        return f"{prefix}{self.state_dir / path}{mark}{query}"


def load(
    *,
    config: Path | None,
    environ: Mapping[str, str],
    listen: Sequence[str] = (),
    database: str | None = None,
    fake: bool = False,
    insecure_dev: bool = False,
) -> Settings:
    """Return the settings: flag over environment over file over default.

    Without `config` the file is `HERO_BROKER_CONFIG`, else `hero-broker.toml` in the working directory if it is there.

    Raises:
        SettingsError: anything is wrong; it has all faults.
    """
    faults: list[Fault] = []
    path, content = _read_file(config, environ, faults)
    root = _Table("", content, faults)
    server = _server(root.table("server"), listen)
    upstream = _upstream(root.table("upstream"))
    database_url = _database_url(root.table("database"), database, environ)
    state_dir = _state_dir(environ, faults)
    billing = _billing(root.table("billing"))
    provider_tables = root.tables("providers")
    if provider_tables:
        providers = _providers(provider_tables, environ, path.parent if path else Path(), fake=fake)
    else:
        providers = _providers_from_environment(environ, faults)
    known = {provider.name for provider in providers} | ({FAKE_PROVIDER} if fake else set())
    models = _models(root.tables("models"), known)
    root.refuse_unknown_keys()
    tokens = (environ.get("ADMIN_TOKEN", "").strip(), environ.get("HERO_SECRET", "").strip())
    admin_tokens = tuple(token for token in tokens if token)
    if not admin_tokens and not insecure_dev:
        _refuse_open_admin(server.listen, "--listen" if listen else "server.listen", faults)
    if faults:
        raise SettingsError(tuple(faults))
    return Settings(
        server=server,
        upstream=upstream,
        database_url=database_url,
        state_dir=state_dir,
        billing=billing,
        providers=providers,
        models=models,
        admin_tokens=admin_tokens,
        insecure_dev=insecure_dev,
        fake=fake,
    )


class _Table:
    """A table of the file; each key is taken once, and what nobody took is unknown.

    A value that is refused is noted as a fault and replaced by the default, so that reading goes on.
    """

    def __init__(self, key: str, content: Mapping[str, object], faults: list[Fault]) -> None:
        self.key = key
        self.faults = faults
        self._content = content
        self._known: list[str] = []
        self._children: list[_Table] = []

    def key_of(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def fault(self, name: str, problem: str) -> None:
        self.faults.append(Fault(self.key_of(name), problem))

    def has(self, name: str) -> bool:
        return name in self._content

    def has_empty(self, name: str) -> bool:
        return self._content.get(name) == []

    def table(self, name: str) -> "_Table":
        value = self._take(name)
        if value is not None and not isinstance(value, dict):
            self.fault(name, f"must be a table, [{self.key_of(name)}]")
        return self._child(name, value if isinstance(value, dict) else {})

    def tables(self, name: str) -> "list[_Table]":
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(name, f"must be an array of tables, [[{name}]]")
            return []
        return [self._child(f"{name}[{index}]", item) for index, item in enumerate(value)]

    def text(self, name: str, default: str | None, check: Callable[[str], T], form: str) -> T | None:
        """Return the checked text; None (and a fault) where it is refused or missing."""
        value = self._take(name)
        if value is None:
            if default is None:
                self.fault(name, f"is missing; it {form}")
                return None
            value = default
        return _checked(value, check, self.key_of(name), form, self.faults)

    def texts(self, name: str, default: tuple[T, ...], check: Callable[[str], T], form: str) -> tuple[T, ...]:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, list):
            self.fault(name, f"must be an array of strings; each {form}")
            return default
        checked = (
            _checked(item, check, self.key_of(f"{name}[{index}]"), form, self.faults)
            for index, item in enumerate(value)
        )
        return tuple(item for item in checked if item is not None)

    def choice(self, name: str, default: str, *others: str) -> str:
        form = f"must be {' or '.join(_quoted(word) for word in (default, *others))}"
        return self.text(name, default, lambda text: _one_of(text, (default, *others)), form) or default

    def boolean(self, name: str, default: bool) -> bool:
        value = self._take(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault(name, "must be true or false")
        return default

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.fault(name, f"must be an integer from {least} to {most}")
        return default

    def seconds(self, name: str, default: float, least: str, most: int) -> float:
        value = self._number(name)
        if value is None:
            return default
        if value.is_finite() and Decimal(least) <= value <= most:
            return float(value)
        self.fault(name, f"must be a number of seconds from {least} to {most}")
        return default

    def price(self, name: str) -> Decimal | None:
        value = self._number(name)
        if value is None:
            return None
        if value.is_finite() and 0 <= value <= MAX_PRICE:
            exponent = value.as_tuple().exponent
            if isinstance(exponent, int) and exponent >= -MAX_PRICE_PLACES:
                return value.copy_abs()  # -0.0 is zero
        self.fault(name, f"must be a number from 0 to {MAX_PRICE} with at most {MAX_PRICE_PLACES} decimal places")
        return None

    def refuse_unknown_keys(self) -> None:
        for name in self._content:
            if name not in self._known:
                close = get_close_matches(name, self._known, n=1)
                hint = f"did you mean {_quoted(close[0])}?" if close else f"known keys: {', '.join(self._known)}"
                self.fault(name if name.isprintable() else repr(name), f"is not a known key; {hint}")
        for child in self._children:
            child.refuse_unknown_keys()

    def _take(self, name: str) -> object:
        self._known.append(name)
        return self._content.get(name)

    def _number(self, name: str) -> Decimal | None:
        """Return the number as a decimal, NaN for anything else; None where the key is missing."""
        value = self._take(name)
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return Decimal(value)
        return Decimal("NaN")

    def _child(self, name: str, content: Mapping[str, object]) -> "_Table":
        child = _Table(self.key_of(name), content, self.faults)
        self._children.append(child)
        return child


def _read_file(
    config: Path | None, environ: Mapping[str, str], faults: list[Fault]
) -> tuple[Path | None, dict[str, object]]:
    from_environment = environ.get("HERO_BROKER_CONFIG", "").strip()
    if config is not None:
        key, path = "--config", config
    elif from_environment:
        key, path = "HERO_BROKER_CONFIG", Path(from_environment)
    else:
        key, path = DEFAULT_FILE, Path(DEFAULT_FILE)
        if not path.exists():
            return None, {}
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_decimal)
    except OSError as error:
        faults.append(Fault(key, f"must name a readable TOML file; {path}: {error.strerror or 'unreadable'}"))
    except UnicodeDecodeError:
        faults.append(Fault(key, f"must name a TOML file in UTF-8; {path} is not"))
    except (ValueError, RecursionError) as error:
        faults.append(Fault(key, f"must name a TOML file; {path}: {error}"))
    return path, {}


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return Decimal("NaN")


def _server(table: _Table, flags: Sequence[str]) -> ServerSettings:
    default = ServerSettings()
    most_bytes = 1_000_000_000_000
    listen = table.texts("listen", default.listen, _listen, _LISTEN_FORM)
    if flags:
        checked = [_checked(flag, _listen, "--listen", _LISTEN_FORM, table.faults) for flag in flags]
        listen = tuple(item for item in checked if item is not None)
    elif table.has_empty("listen"):
        table.fault("listen", f"must have at least one entry; each {_LISTEN_FORM}")
    if len(set(listen)) < len(listen):
        table.faults.append(Fault("--listen" if flags else table.key_of("listen"), "must not name an address twice"))
    proxies = table.texts("trusted_proxies", (), _proxy, f'{_CIDR_FORM}, or the word "unix"')
    return ServerSettings(
        listen=listen,
        allowed_clients=table.texts("allowed_clients", default.allowed_clients, _network, _CIDR_FORM),
        trusted_proxies=tuple(proxy for proxy in proxies if not isinstance(proxy, str)),
        trust_unix="unix" in proxies,
        trusted_header=table.choice("trusted_header", default.trusted_header, "forwarded"),
        max_body_bytes=table.integer("max_body_bytes", default.max_body_bytes, 1, most_bytes),
        max_audio_bytes=table.integer("max_audio_bytes", default.max_audio_bytes, 1, most_bytes),
        max_answer_bytes=table.integer("max_answer_bytes", default.max_answer_bytes, 1, most_bytes),
        max_calls=table.integer("max_calls", default.max_calls, 1, 1_000_000),
        header_timeout_s=table.seconds("header_timeout_s", default.header_timeout_s, "0.001", 86_400),
        body_timeout_s=table.seconds("body_timeout_s", default.body_timeout_s, "0.001", 86_400),
        grace_s=table.seconds("grace_s", default.grace_s, "0", 86_400),
    )


def _upstream(table: _Table) -> UpstreamSettings:
    default = UpstreamSettings()
    return UpstreamSettings(
        connect_timeout_s=table.seconds("connect_timeout_s", default.connect_timeout_s, "0.001", 86_400),
        first_byte_timeout_s=table.seconds("first_byte_timeout_s", default.first_byte_timeout_s, "0.001", 86_400),
        idle_timeout_s=table.seconds("idle_timeout_s", default.idle_timeout_s, "0.001", 86_400),
        total_timeout_s=table.seconds("total_timeout_s", default.total_timeout_s, "0.001", 86_400),
    )


def _database_url(table: _Table, flag: str | None, environ: Mapping[str, str]) -> str:
    default = "sqlite:///hero-broker.db"
    url = table.text("url", default, _database, _DATABASE_FORM)
    from_environment = environ.get("HERO_BROKER_DATABASE_URL", "").strip()
    if flag is not None:
        url = _checked(flag, _database, "--database", _DATABASE_FORM, table.faults)
    elif from_environment:
        url = _checked(from_environment, _database, "HERO_BROKER_DATABASE_URL", _DATABASE_FORM, table.faults)
    return url or default


def _state_dir(environ: Mapping[str, str], faults: list[Fault]) -> Path:
    from_environment = environ.get("HERO_BROKER_STATE_DIR", "").strip()
    if not from_environment:
        return platformdirs.user_state_path("hero-broker", appauthor=False)
    if "?" in from_environment:  # it would end the path in a database URL
        faults.append(Fault("HERO_BROKER_STATE_DIR", 'must be a directory whose path has no "?"'))
    path = Path(from_environment).absolute()
    if path.exists() and not path.is_dir():
        faults.append(Fault("HERO_BROKER_STATE_DIR", f"must be a directory; {path} is not"))
    return path


def _billing(table: _Table) -> BillingSettings:
    default = BillingSettings()
    return BillingSettings(
        durability=table.choice("durability", default.durability, "fsync"),
        on_database_error=table.choice("on_database_error", default.on_database_error, "refuse"),
        on_disconnect=table.choice("on_disconnect", default.on_disconnect, "cancel"),
        drain_max_s=table.seconds("drain_max_s", default.drain_max_s, "0", 86_400),
        drain_max_tokens=table.integer("drain_max_tokens", default.drain_max_tokens, 0, 1_000_000_000),
        drain_max_calls=table.integer("drain_max_calls", default.drain_max_calls, 0, 1_000_000),
        journal_max_bytes=table.integer(
            "journal_max_bytes", default.journal_max_bytes, 1_000_000, 1_000_000_000_000_000
        ),
        unpriced=table.choice("unpriced", default.unpriced, "refuse"),
    )


def _providers(
    tables: list[_Table], environ: Mapping[str, str], folder: Path, *, fake: bool
) -> tuple[ProviderSettings, ...]:
    """Return the file's providers, also the faulty ones, so that models that name them are no second fault."""
    seen = {FAKE_PROVIDER: 'is taken by the built-in provider of "--fake"; choose another'} if fake else {}
    providers = []
    for table in tables:
        name = table.text("name", None, _provider_name, f'{_NAME_FORM}, and without "/"') or ""
        if name in seen:
            table.fault("name", seen[name])
        elif name:
            seen[name] = f"must be unique; {_quoted(name)} is already used by {table.key}"
        references = table.texts("api_keys", (), _text, _API_KEY_FORM)
        keys = (
            _api_key(reference, table.key_of(f"api_keys[{index}]"), environ, folder, table.faults)
            for index, reference in enumerate(references)
        )
        providers.append(
            ProviderSettings(
                name=name,
                base_url=table.text("base_url", None, _base_url, _BASE_URL_FORM) or "",
                api_keys=tuple(dict.fromkeys(key for key in keys if key)),
                stream_usage=table.boolean("stream_usage", True),
            )
        )
    return tuple(providers)


def _api_key(reference: str, key: str, environ: Mapping[str, str], folder: Path, faults: list[Fault]) -> str | None:
    """Return the key that `reference` stands for; a relative file is beside the settings' file."""
    source, _, rest = reference.partition(":")
    secret = reference
    if source == "env":
        secret = environ.get(rest, "").strip()
        if not secret:
            faults.append(Fault(key, f'names the environment variable {_quoted(rest)}, which must be set ("env:NAME")'))
            return None
    elif source == "file":
        try:
            secret = (folder / rest).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            faults.append(Fault(key, f'names {_quoted(rest)}, which must be a readable text file ("file:PATH")'))
            return None
    return _checked(secret, _secret, key, _API_KEY_FORM, faults)


def _providers_from_environment(environ: Mapping[str, str], faults: list[Fault]) -> tuple[ProviderSettings, ...]:
    providers = []
    for name, base_url, single, plural in _KNOWN_PROVIDERS:
        found = [(single, environ.get(single, ""))]
        if plural is not None:
            found += [(plural, key) for key in environ.get(plural, "").split(",")]
        form = "must be a key in printable ASCII without spaces; several are separated by commas in a plural variable"
        keys = [_checked(key.strip(), _secret, variable, form, faults) for variable, key in found if key.strip()]
        if keys:
            providers.append(ProviderSettings(name, base_url, tuple(dict.fromkeys(key for key in keys if key))))
    return tuple(providers)


def _models(tables: list[_Table], providers: set[str]) -> tuple[ModelSettings, ...]:
    taken: dict[str, str] = {}
    models = []
    kinds = ", ".join(_quoted(kind) for kind in CallKind)
    for table in tables:
        name = table.text("name", None, _name, _NAME_FORM) or ""
        aliases = table.texts("aliases", (), _name, _NAME_FORM)
        for key, word in [("name", name), *(("aliases", alias) for alias in aliases)]:
            if word in taken:
                table.fault(key, f"must be unique among names and aliases; {_quoted(word)} is used by {taken[word]}")
            elif word:
                taken[word] = table.key_of(key)
        provider = table.text("provider", None, _name, f"must be the name of a provider; it {_NAME_FORM}") or ""
        if provider and provider not in providers:
            known = ", ".join(_quoted(one) for one in sorted(providers) if one) or "none is configured"
            table.fault("provider", f"must be the name of a provider, not {_quoted(provider)}; known: {known}")
        models.append(
            ModelSettings(
                name=name,
                aliases=aliases,
                kind=table.text("kind", "chat", CallKind, f"must be one of {kinds}") or CallKind.CHAT,
                provider=provider,
                upstream_model=table.text("upstream_model", name or "-", _name, _NAME_FORM) or "",
                price=_price(table.table("price"), is_given=table.has("price")),
            )
        )
    return tuple(models)


def _price(table: _Table, *, is_given: bool) -> PriceSettings | None:
    if not is_given:
        return None
    names = [one.name for one in fields(PriceSettings)]
    prices = {name: table.price(name) for name in names}
    if not any(table.has(name) for name in names):
        table.faults.append(Fault(table.key, f"must have at least one of {', '.join(names)}"))
    return PriceSettings(**prices)


def _refuse_open_admin(listens: tuple[Listen, ...], key: str, faults: list[Fault]) -> None:
    faults.extend(
        Fault(
            key,
            f"{listen} must be a loopback address while no admin token is set; "
            "set ADMIN_TOKEN or HERO_SECRET, or give --insecure-dev",
        )
        for listen in listens
        if isinstance(listen, TcpListen) and not listen.is_loopback
    )


def _checked(value: object, check: Callable[[str], T], key: str, form: str, faults: list[Fault]) -> T | None:
    """Return what `check` makes of the text; None and a fault, without the value, where it is refused."""
    if isinstance(value, str):
        try:
            return check(value)
        except ValueError:
            pass
    faults.append(Fault(key, form))
    return None


# Each check returns its value or raises ValueError; the caller knows the accepted form.


def _text(text: str) -> str:
    return text


def _one_of(text: str, words: tuple[str, ...]) -> str:
    return _require(text, text in words)


def _name(text: str) -> str:
    return _require(text, 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable() and text == text.strip())


def _provider_name(text: str) -> str:
    return _require(_name(text), "/" not in text)


def _secret(text: str) -> str:
    return _require(text, bool(text) and all("!" <= character <= "~" for character in text))


def _listen(text: str) -> Listen:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        fits = len(path.encode()) <= MAX_UNIX_PATH_BYTES and path.isprintable() and not path.endswith("/")
        return UnixListen(Path(_require(path, path.startswith("/") and fits)))
    host, colon, port_text = text.rpartition(":")
    _require(text, bool(colon) and port_text.isascii() and port_text.isdigit() and len(port_text) <= 5)
    port = int(port_text)
    _require(text, port <= 65_535)
    if host == "localhost":
        return TcpListen(host, port)
    has_brackets = host.startswith("[") and host.endswith("]")
    address = ip_address(host[1:-1] if has_brackets else host)
    _require(text, has_brackets == (address.version == 6))
    return TcpListen(str(address), port)


def _network(text: str) -> IpNetwork:
    """Return the network; one of IPv4-mapped addresses is IPv4, as the addresses it is compared with are."""
    network = ip_network(_require(text, "%" not in text))
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _proxy(text: str) -> IpNetwork | str:
    return text if text == "unix" else _network(text)


def _base_url(text: str) -> str:
    url = urlsplit(text)
    plain = all("!" <= character <= "~" for character in text)
    bare = "@" not in url.netloc and "?" not in text and "#" not in text
    _require(text, url.scheme in ("http", "https") and bool(url.hostname) and plain and bare and url.port != 0)
    return text.rstrip("/")


def _database(text: str) -> str:
    url = urlsplit(text)
    _require(text, text.isprintable())
    if text.startswith("sqlite:///"):
        path = text.removeprefix("sqlite:///").partition("?")[0]
        is_file = bool(path) and not path.endswith("/") and not path.startswith((":", "file:"))
        return _require(text, is_file)
    return _require(text, text.startswith("postgresql://") and url.port != 0 and len(url.path) > 1)


def _require(text: str, is_accepted: bool) -> str:
    if not is_accepted:
        raise ValueError
    return text


def _quoted(word: str) -> str:
    return f'"{word}"'
