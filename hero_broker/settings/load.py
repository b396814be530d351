"""The only reader of the environment and of `hero-broker.toml`; `docs/reference/settings.md` lists every key."""

import math
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from hero_broker.core.calls import ORDINARY_TIERS
from hero_broker.kinds.registry import DEFAULT_KIND, KINDS, MODEL_KINDS
from hero_broker.kinds.wires import AUTHS, WIRES, default_wires
from hero_broker.settings.doubts import doubts_about
from hero_broker.settings.errors import Fault, SettingsError
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from hero_broker.settings.limits import read_limiting, read_limits
from hero_broker.settings.model import (
    SQLITE,
    BillingSettings,
    Listen,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    ResponsesSettings,
    ServerSettings,
    Settings,
    StatementSettings,
    TcpListen,
    UpstreamSettings,
    absolute_database,
)
from hero_broker.settings.secrets import why_not_secret
from hero_broker.settings.toml_table import TomlTable, check_value
from hero_broker.settings.validators import (
    ADMIN_FORM,
    API_KEY_FORM,
    BASE_URL_FORM,
    BETA_FORM,
    CIDR_FORM,
    DATABASE_FORM,
    LINE_FORM,
    LISTEN_FORM,
    NAME_FORM,
    ORIGIN_FORM,
    TEXT_FORM,
    accept_base_url,
    accept_base_url_or_empty,
    accept_beta,
    accept_database,
    accept_kind,
    accept_line,
    accept_listen,
    accept_name,
    accept_network,
    accept_one_of,
    accept_origin,
    accept_provider_name,
    accept_proxy,
    accept_secret,
    accept_string,
    accept_text,
    accept_token,
    endpoint_of,
    quoted,
)
from hero_broker.util.private_files import is_open_to_all
from hero_broker.util.small_files import read_small_text

MAX_CONFIG_BYTES = 10_000_000
MAX_KEY_BYTES = 100_000  # of a file that holds a provider's key
DEFAULT_FILE = "hero-broker.toml"  # in the working directory; optional
# Upper bounds of prices. No counted unit (a token, a character, a millisecond of audio, a search, an image) may cost
# more than 1 USD, so that a call with 10^9 of each costs less than the 2^63 nano-USD that 64 bits can hold.
MAX_PER_MILLION = 1_000_000
MAX_PRICES = {
    "audio_per_minute": 60_000,
    "audio_minimum_s": 86_400,  # seconds
    "per_thousand_searches": 1000,
    "web_searches_per_thousand": 1000,
    "file_searches_per_thousand": 1000,
    "per_image": 1,
    "per_request": 10_000,
    "per_second": 10,
    "per_gpu_second": 1,
    "gpus": 1000,
}
LEAST_GPUS = Decimal("0.01")
NO_RATES = ("audio_minimum_s", "gpus")  # they change what a rate costs, and are no price alone
FAKE_PROVIDER = "fake"  # the name of the built-in provider that `--fake` adds
FAKE_FOLDER = "fake"  # inside the state directory, for the ledger of `--fake`
CONFIG = "HERO_BROKER_CONFIG"
STATE_DIR = "HERO_BROKER_STATE_DIR"
FAST_PATH = "HERO_BROKER_FAST_PATH"
FAST_PATH_WORDS = {"on": True, "off": False}
SEVERAL_KEYS_FORM = (
    "must be a key in printable ASCII without spaces; several are separated by commas in a plural variable"
)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLURALS = frozenset(known.plural for known in KNOWN_PROVIDERS)  # variables that hold several keys


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Where secrets are read from, and warnings about the files that hold them."""

    environ: Mapping[str, str]
    file: Path | None  # the settings file
    warnings: list[str] = field(default_factory=list)

    def note_settings_file(self, what: str) -> None:
        """Record that the settings file holds a secret."""
        if self.file is not None:
            self.note_file(self.file, what)

    def note_file(self, path: Path, what: str) -> None:
        """Record that a file holds a secret; warn if every user may read the file."""
        warning = f"{path} holds {what}, and every user of this machine may read it; give it mode 0600"
        if warning not in self.warnings and is_open_to_all(path):
            self.warnings.append(warning)


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

    Without `config` the file is `HERO_BROKER_CONFIG`, else `hero-broker.toml` in the working directory if it exists.
    With `fake` the state directory is the folder `fake` inside the usual one, and the ledger is a file there unless the
    flag `database` names another.

    Raises:
        SettingsError: any setting is wrong; the error lists all faults.
    """
    faults: list[Fault] = []
    path, content = _read_file(config, environ, faults)
    root = TomlTable("", content, faults)
    secrets = _Secrets(environ, path)
    server = _server(root.table("server"), listen, environ)
    upstream = _upstream(root.table("upstream"))
    database_url = _database_url(root.table("database"), database, secrets, fake=fake)
    state_dir = _state_dir(environ, faults)
    billing = _billing(root.table("billing"))
    provider_tables = root.tables("providers")
    if provider_tables:
        providers = _providers(provider_tables, secrets, upstream, fake=fake)
    else:
        providers = _providers_from_environment(environ, faults)
    known = {provider.name for provider in providers} | ({FAKE_PROVIDER} if fake else set())
    models = _models(root.tables("models"), known)
    default_models = _default_models(root.table("default_models"))
    responses = _responses(root.table("responses"))
    statements = _statements(root.table("statements"))
    limits = read_limits(root.tables("limits"), known, may_share_ledger=not database_url.startswith(SQLITE))
    limiting = read_limiting(root.table("limiting"))
    root.refuse_unknown_keys()
    tokens = [(name, environ.get(name, "").strip()) for name in ("ADMIN_TOKEN", "HERO_SECRET")]
    admin_tokens = tuple(
        secret
        for name, token in tokens
        if token and (secret := _secret(token, name, ADMIN_FORM, faults, accept=accept_token))
    )
    if not any(token for _, token in tokens) and not insecure_dev:
        _refuse_open_admin(server.listen, "--listen" if listen else "server.listen", faults)
    if faults:
        raise SettingsError(tuple(faults))
    return Settings(
        server=server,
        upstream=upstream,
        database_url=database_url,
        state_dir=state_dir / FAKE_FOLDER if fake else state_dir,
        billing=billing,
        providers=providers,
        models=models,
        default_models=default_models,
        admin_tokens=admin_tokens,
        insecure_dev=insecure_dev,
        fake=fake,
        responses=responses,
        statements=statements,
        limits=limits,
        limiting=limiting,
        warnings=(*secrets.warnings, *doubts_about(server)),
    )


def listens_of(environ: Mapping[str, str]) -> tuple[Listen, ...]:
    """Return the listening addresses from the settings of this directory; no other setting is checked.

    Raises:
        SettingsError: the file cannot be read, or `listen` is wrong.
    """
    faults: list[Fault] = []
    _, content = _read_file(None, environ, faults)
    listens = _listens(TomlTable("", content, faults).table("server"))
    if faults:
        raise SettingsError(tuple(faults))
    return listens


def statements_of(environ: Mapping[str, str]) -> StatementSettings:
    """Return what statements say of their issuer, from the settings of this directory; no other setting is checked.

    Raises:
        SettingsError: the file cannot be read, or `[statements]` is wrong.
    """
    faults: list[Fault] = []
    _, content = _read_file(None, environ, faults)
    table = TomlTable("", content, faults).table("statements")
    statements = _statements(table)
    table.refuse_unknown_keys()
    if faults:
        raise SettingsError(tuple(faults))
    return statements


def ledger_url(database: str, environ: Mapping[str, str]) -> str:
    """Return the absolute URL of a ledger; a relative SQLite file is in the state directory. Reads no file.

    Raises:
        SettingsError: `database` is not the URL of a ledger, or the state directory is unknown.
    """
    faults: list[Fault] = []
    url = _accepted_database(database, "--database", faults) or ""
    is_relative = url.startswith(SQLITE) and not url.startswith(f"{SQLITE}/")
    state_dir = _state_dir(environ, faults) if is_relative else Path("/")
    if faults:
        raise SettingsError(tuple(faults))
    return absolute_database(url, state_dir)


def _read_file(
    config: Path | None, environ: Mapping[str, str], faults: list[Fault]
) -> tuple[Path | None, dict[str, object]]:
    from_environment = environ.get(CONFIG, "").strip()
    if config is not None:
        key, path = "--config", config
    elif from_environment:
        key, path = CONFIG, Path(from_environment)
    else:
        key, path = DEFAULT_FILE, Path(DEFAULT_FILE)
    try:
        # Editors on Windows begin UTF-8 files with a byte order mark, which TOML does not allow.
        return path, tomllib.loads(read_small_text(path, MAX_CONFIG_BYTES), parse_float=_decimal)
    except OSError as error:
        if key == DEFAULT_FILE and isinstance(error, FileNotFoundError):
            return None, {}
        faults.append(Fault(key, f"must name a readable TOML file; {path}: {error.strerror or 'unreadable'}"))
    except UnicodeDecodeError:
        faults.append(Fault(key, f"must name a TOML file in UTF-8; {path} is not"))
    except (ValueError, RecursionError) as error:
        faults.append(Fault(key, f"must name a TOML file; {path}: {error}"))
    return path, {}


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent out of range
        return Decimal("NaN")


def _server(table: TomlTable, flags: Sequence[str], environ: Mapping[str, str]) -> ServerSettings:
    default = ServerSettings()
    most_bytes = 1_000_000_000_000
    listen = _listens(table, flags)
    if len(set(listen)) < len(listen):
        table.faults.append(Fault("--listen" if flags else table.full_key("listen"), "must not name an address twice"))
    max_calls = table.integer("max_calls", default.max_calls, 1, 1_000_000)
    proxies = table.strings("trusted_proxies", (), accept_proxy, f'{CIDR_FORM}, or the word "unix"')
    return ServerSettings(
        listen=listen,
        allowed_clients=table.strings("allowed_clients", default.allowed_clients, accept_network, CIDR_FORM),
        allowed_origins=table.strings("allowed_origins", (), accept_origin, ORIGIN_FORM),
        trusted_proxies=tuple(proxy for proxy in proxies if not isinstance(proxy, str)),
        trust_unix="unix" in proxies,
        trusted_header=table.choice("trusted_header", default.trusted_header, "forwarded", "x-real-ip"),
        max_body_bytes=table.integer("max_body_bytes", default.max_body_bytes, 1, most_bytes),
        max_audio_bytes=table.integer("max_audio_bytes", default.max_audio_bytes, 1, most_bytes),
        max_answer_bytes=table.integer("max_answer_bytes", default.max_answer_bytes, 1, most_bytes),
        max_calls=max_calls,
        max_calls_per_address=table.integer("max_calls_per_address", math.ceil(max_calls * 3 / 4), 1, 1_000_000),
        header_timeout_s=table.seconds("header_timeout_s", default.header_timeout_s, "0.001", 86_400),
        body_timeout_s=table.seconds("body_timeout_s", default.body_timeout_s, "0.001", 86_400),
        grace_s=table.seconds("grace_s", default.grace_s, "0", 86_400),
        fast_path=_fast_path(table, environ),
    )


def _fast_path(table: TomlTable, environ: Mapping[str, str]) -> bool:
    in_file = table.boolean("fast_path", ServerSettings().fast_path)
    text = environ.get(FAST_PATH, "").strip().lower()
    if text not in ("", *FAST_PATH_WORDS):
        table.faults.append(Fault(FAST_PATH, f"must be {' or '.join(FAST_PATH_WORDS)}"))
    return FAST_PATH_WORDS.get(text, in_file)


def _listens(table: TomlTable, flags: Sequence[str] = ()) -> tuple[Listen, ...]:
    listen = table.strings("listen", ServerSettings().listen, accept_listen, LISTEN_FORM)
    if flags:
        accepted = [check_value(flag, accept_listen, "--listen", LISTEN_FORM, table.faults) for flag in flags]
        return tuple(item for item in accepted if item is not None)
    if table.has_empty("listen"):
        table.fault("listen", f"must have at least one entry; each {LISTEN_FORM}")
    return listen


def _upstream(table: TomlTable, default: UpstreamSettings | None = None) -> UpstreamSettings:
    """Return the timeouts of a table, `[upstream]` or a provider's; missing ones come from `default`."""
    name, default = "whole_answer_timeout_s", default or UpstreamSettings()
    timeouts = {
        key: table.seconds(key, getattr(default, key), "0.001", 86_400)
        for key in (setting.name for setting in fields(UpstreamSettings))
    }
    if timeouts[name] > timeouts["total_timeout_s"]:
        if table.has(name):
            table.fault(name, f"must be at most total_timeout_s, which is {timeouts['total_timeout_s']:g}")
        timeouts[name] = timeouts["total_timeout_s"]
    return UpstreamSettings(**timeouts)


def _database_url(table: TomlTable, flag: str | None, secrets: _Secrets, *, fake: bool) -> str:
    default = "sqlite:///hero-broker.db"
    url, key = table.string("url", default, accept_database, DATABASE_FORM), table.full_key("url")
    if table.has("url") and url and urlsplit(url).password:
        secrets.note_settings_file("a database's password")
    from_environment = secrets.environ.get("HERO_BROKER_DATABASE_URL", "").strip()
    if flag is not None:
        return _accepted_database(flag, "--database", table.faults) or default
    if fake:
        return default
    if from_environment:
        return _accepted_database(from_environment, "HERO_BROKER_DATABASE_URL", table.faults) or default
    return _with_driver(url or default, key, table.faults)


def _accepted_database(url: str, key: str, faults: list[Fault]) -> str | None:
    accepted = check_value(url, accept_database, key, DATABASE_FORM, faults)
    return None if accepted is None else _with_driver(accepted, key, faults)


def _with_driver(url: str, key: str, faults: list[Fault]) -> str:
    """Return the URL; add a fault if its driver, an optional dependency, cannot be imported."""
    if not url.startswith(SQLITE):
        try:
            import_module("psycopg")
        except ImportError:
            faults.append(
                Fault(key, "needs the PostgreSQL driver; install it with: pip install 'hero-broker[postgres]'")
            )
    return url


def _state_dir(environ: Mapping[str, str], faults: list[Fault]) -> Path:
    directory = environ.get(STATE_DIR, "").strip()
    try:
        path = Path(directory).absolute() if directory else platformdirs.user_state_path("hero-broker", appauthor=False)
    except OSError:
        faults.append(Fault(STATE_DIR, "must be an absolute path, because the working directory no longer exists"))
        return Path("/")
    except RuntimeError:  # neither HOME nor the user database names a home directory
        path = Path("~")
    if not path.is_absolute():
        faults.append(Fault(STATE_DIR, "must name a directory, because this user's home directory is unknown"))
    elif "?" in str(path) or not _is_utf8(str(path)):  # such a path cannot be part of a database URL
        faults.append(Fault(STATE_DIR, 'must be a directory whose path is UTF-8 and has no "?"'))
    elif directory and _is_not_directory(path):
        faults.append(Fault(STATE_DIR, f"must be a directory; {path} is not"))
    return path


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # a byte that is not UTF-8 appears as a lone surrogate
        return False
    return True


def _is_not_directory(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:  # missing or inaccessible: opening it will report the cause
        return False


def _billing(table: TomlTable) -> BillingSettings:
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
        price_list=_price_list(table),
    )


def _responses(table: TomlTable) -> ResponsesSettings:
    default = ResponsesSettings()
    return ResponsesSettings(table.integer("max_event_bytes", default.max_event_bytes, 1_000_000, 1_000_000_000))


def _price_list(table: TomlTable) -> Path | None:
    if not table.has("price_list"):
        return None
    return table.string("price_list", None, _absolute_path, "must be the absolute path of a file")


def _absolute_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError
    return path


def _providers(
    tables: list[TomlTable], secrets: _Secrets, upstream: UpstreamSettings, *, fake: bool
) -> tuple[ProviderSettings, ...]:
    """Return the file's providers, also faulty ones, so that a model naming one is not a second fault."""
    used_names = {FAKE_PROVIDER: 'is the name of the built-in provider of "--fake"; choose another'} if fake else {}
    providers = []
    for table in tables:
        name = table.string("name", None, accept_provider_name, f'{NAME_FORM}, and without "/"') or ""
        if name in used_names:
            table.fault("name", used_names[name])
        elif name:
            used_names[name] = f"must be unique; {quoted(name)} is already used by {table.key}"
        references = table.strings("api_keys", (), accept_string, API_KEY_FORM)
        keys = (
            key
            for index, reference in enumerate(references)
            for key in _api_keys(reference, table.full_key(f"api_keys[{index}]"), secrets, table.faults)
        )
        base_url = table.string("base_url", None, accept_base_url, BASE_URL_FORM) or ""
        if endpoint := endpoint_of(base_url):
            right = quoted(base_url.removesuffix(endpoint))
            table.fault("base_url", f"must end before {quoted(endpoint)}, which each call adds; write {right}")
        own = _upstream(table, upstream)
        providers.append(
            ProviderSettings(
                name=name,
                base_url=base_url,
                api_keys=tuple(dict.fromkeys(key for key in keys if key)),
                stream_usage=table.boolean("stream_usage", True),
                timeouts=None if own == upstream else own,
                price_factor=table.factor("price_factor", "0.1", 10),
                wires=_wires(table, base_url),
                auth=table.choice_or_none("auth", *AUTHS),
                drop_betas=table.strings("drop_betas", (), accept_beta, BETA_FORM),
            )
        )
    return tuple(providers)


def _wires(table: TomlTable, base_url: str) -> Mapping[str, str]:
    """Return the wires of a provider with their base URLs; empty for those that its base URL has by default.

    A list names all of its wires, at its base URL. A table adds wires, or gives them a URL of their own.
    """
    form = f"must be {' or '.join(map(quoted, WIRES))}"
    if table.has_table("wires"):
        urls = table.table("wires")
        own = {wire: urls.string(wire, "", accept_base_url_or_empty, BASE_URL_FORM) for wire in WIRES}
        for wire, url in own.items():
            if endpoint := endpoint_of(url or ""):
                urls.fault(wire, f"must end before {quoted(endpoint)}, which each call adds")
        return {**dict.fromkeys(default_wires(base_url), base_url), **{wire: url for wire, url in own.items() if url}}
    named = table.strings("wires", (), lambda text: accept_one_of(text, WIRES), form)
    if table.has_empty("wires"):
        table.fault("wires", f"must have at least one entry; each {form}")
    return {wire: base_url for wire in WIRES if wire in named}


def _api_keys(reference: str, key: str, secrets: _Secrets, faults: list[Fault]) -> list[str | None]:
    """Return the keys that `reference` names: one, or those of a variable that holds several."""
    variable = reference.removeprefix("env:")
    texts = secrets.environ.get(variable, "").split(",") if variable != reference and variable in _PLURALS else []
    if not any(text.strip() for text in texts):
        return [_api_key(reference, key, secrets, faults)]
    prefix = f"names the environment variable {quoted(variable)}, which "
    return [_secret(text.strip(), key, SEVERAL_KEYS_FORM, faults, prefix) for text in texts if text.strip()]


def _api_key(reference: str, key: str, secrets: _Secrets, faults: list[Fault]) -> str | None:
    """Return the key that `reference` names; a relative path starts at the settings file's directory."""
    source, _, rest = reference.partition(":")
    secret, prefix = reference, ""
    if source == "env":
        secret = secrets.environ.get(rest, "").strip()
        if not _VARIABLE.fullmatch(rest):  # may be a key, so the message does not quote it
            faults.append(Fault(key, 'must have the name of an environment variable after "env:"'))
            return None
        prefix = f"names the environment variable {quoted(rest)}, which "
        if not secret:
            faults.append(Fault(key, f'{prefix}must be set ("env:NAME")'))
            return None
    elif source == "file":
        path, prefix = (secrets.file.parent if secrets.file else Path()) / rest, f"names {quoted(rest)}, which "
        try:
            secret = read_small_text(path, MAX_KEY_BYTES).strip()
        except (OSError, ValueError) as error:
            reason = f"; {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            faults.append(Fault(key, f'{prefix}must be a readable text file ("file:PATH"){reason}'))
            return None
        secrets.note_file(path, "a provider's key")
    elif reference:
        secrets.note_settings_file("a provider's key")
    return _secret(secret, key, API_KEY_FORM, faults, prefix)


def _secret(
    text: str,
    key: str,
    form: str,
    faults: list[Fault],
    prefix: str = "",
    accept: Callable[[str], str] = accept_secret,
) -> str | None:
    """Return the secret; if it is not one, return None and add a fault without it. `prefix` names its source."""
    reason = why_not_secret(text)
    if reason is None:
        return check_value(text, accept, key, f"{prefix}{form}", faults)
    faults.append(Fault(key, f"{prefix}{reason}; it {form}"))
    return None


def _providers_from_environment(environ: Mapping[str, str], faults: list[Fault]) -> tuple[ProviderSettings, ...]:
    providers = []
    for known in KNOWN_PROVIDERS:
        candidates = [(known.variable, environ.get(known.variable, ""))]
        if known.plural is not None:
            candidates += [(known.plural, key) for key in environ.get(known.plural, "").split(",")]
        keys = [
            _secret(key.strip(), variable, SEVERAL_KEYS_FORM, faults) for variable, key in candidates if key.strip()
        ]
        if keys:
            unique = tuple(dict.fromkeys(key for key in keys if key))
            providers.append(ProviderSettings(known.name, known.base_url, unique, known.stream_usage))
    return tuple(providers)


def _models(tables: list[TomlTable], providers: set[str]) -> tuple[ModelSettings, ...]:
    places: dict[str, str] = {}
    models = []
    kinds = ", ".join(quoted(kind) for kind in MODEL_KINDS)
    for table in tables:
        name = table.string("name", None, accept_name, NAME_FORM) or ""
        aliases = table.strings("aliases", (), accept_name, NAME_FORM)
        for key, word in [("name", name), *(("aliases", alias) for alias in aliases)]:
            if word in places:
                table.fault(key, f"must be unique among names and aliases; {quoted(word)} is used by {places[word]}")
            elif word:
                places[word] = table.full_key(key)
        provider = table.string("provider", None, accept_name, f"must be the name of a provider; it {NAME_FORM}") or ""
        if provider and provider not in providers:
            known = ", ".join(quoted(item) for item in sorted(providers) if item) or "none"
            table.fault("provider", f"must be the name of a provider, not {quoted(provider)}; known: {known}")
        price = table.table("price")
        models.append(
            ModelSettings(
                name=name,
                aliases=aliases,
                kind=table.string("kind", DEFAULT_KIND, accept_kind, f"must be one of {kinds}") or DEFAULT_KIND,
                provider=provider,
                upstream_model=table.string("upstream_model", name or "-", accept_name, NAME_FORM) or "",
                price_tiers=_price_tiers(price),
                price=_price(price) if table.has("price") else None,
                max_output_tokens=table.integer("max_output_tokens", 0, 1, 10**9) or None,
            )
        )
    return tuple(models)


def _default_models(table: TomlTable) -> Mapping[str, str]:
    defaults = {name: kind.default_model for name, kind in KINDS.items() if kind.default_model is not None}
    return {name: table.string(name, model, accept_name, NAME_FORM) or model for name, model in defaults.items()}


def _statements(table: TomlTable) -> StatementSettings:
    return StatementSettings(
        issuer=table.string("from", "", accept_line, LINE_FORM) or "",
        contact=table.string("contact", "", accept_text, TEXT_FORM) or "",
        note=table.string("note", "", accept_text, TEXT_FORM) or "",
    )


def _price_tiers(price: TomlTable) -> Mapping[str, PriceSettings]:
    tables = price.table_by_name("tiers")
    for tier in tables:
        if tier in ORDINARY_TIERS:
            price.fault(f"tiers.{tier}", f"must not be {' or '.join(sorted(ORDINARY_TIERS))}: that is the price itself")
        elif not tier.isprintable() or not tier.strip():
            price.fault("tiers", "must have printable names, as the provider reports them")
        elif tier != tier.lower():
            price.fault(
                f"tiers.{tier}", f"must be in lower case, as {tier.lower()!r}; answers may spell it as they like"
            )
    return {tier: _price(table) for tier, table in tables.items()}


def _price(table: TomlTable) -> PriceSettings:
    prices = {
        rate.name: table.price(rate.name, MAX_PRICES.get(rate.name, MAX_PER_MILLION)) for rate in fields(PriceSettings)
    }
    rates = [name for name in prices if name not in NO_RATES]
    if not any(table.has(name) for name in rates):
        table.faults.append(Fault(table.key, f"must have at least one of {', '.join(rates)}"))
    elif table.has("gpus") and not table.has("per_gpu_second"):
        table.fault("gpus", "needs per_gpu_second beside it, the rate that is multiplied by it")
    elif (gpus := prices["gpus"]) is not None and gpus < LEAST_GPUS:
        table.fault("gpus", f"must be at least {LEAST_GPUS}")
    return PriceSettings(**prices)


def _refuse_open_admin(listens: tuple[Listen, ...], key: str, faults: list[Fault]) -> None:
    faults.extend(
        Fault(
            key,
            f"{listen} must be a loopback address while no admin token is set; "
            "set ADMIN_TOKEN or HERO_SECRET, or pass --insecure-dev",
        )
        for listen in listens
        if isinstance(listen, TcpListen) and not listen.is_loopback
    )
