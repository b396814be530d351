"""The one reader of the environment and of `hero-broker.toml`; `docs/reference/settings.md` lists every key."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path

import platformdirs

from hero_broker.core.calls import CallKind
from hero_broker.settings.faults import Fault, SettingsError
from hero_broker.settings.forms import (
    API_KEY_FORM,
    BASE_URL_FORM,
    CIDR_FORM,
    DATABASE_FORM,
    LISTEN_FORM,
    NAME_FORM,
    ORIGIN_FORM,
    accept_base_url,
    accept_database,
    accept_listen,
    accept_name,
    accept_network,
    accept_origin,
    accept_provider_name,
    accept_proxy,
    accept_secret,
    accept_text,
    quoted,
)
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from hero_broker.settings.model import (
    BillingSettings,
    Listen,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
    TcpListen,
    UpstreamSettings,
)
from hero_broker.settings.table import Table, checked

DEFAULT_FILE = "hero-broker.toml"  # in the working directory, if it is there
# What a price may be at most. No unit that is counted (a token, a character, a millisecond of audio, a search) costs
# more than 1 USD, so that a call of 10^9 of each costs less than half of what 64 bits hold in nano-USD.
MAX_PER_MILLION = 1_000_000
MAX_PRICES = {
    "audio_per_minute": 60_000,
    "audio_minimum_s": 86_400,  # seconds
    "per_thousand_searches": 1000,
    "per_request": 10_000,
}
FAKE_PROVIDER = "fake"  # the name of the built-in provider that `--fake` adds


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
    root = Table("", content, faults)
    server = _server(root.table("server"), listen)
    upstream = _upstream(root.table("upstream"))
    database_url = _database_url(root.table("database"), database, environ)
    state_dir = _state_dir(environ, faults)
    billing = _billing(root.table("billing"))
    provider_tables = root.tables("providers")
    if provider_tables:
        providers = _providers(provider_tables, environ, path.parent if path else Path(), upstream, fake=fake)
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


def _server(table: Table, flags: Sequence[str]) -> ServerSettings:
    default = ServerSettings()
    most_bytes = 1_000_000_000_000
    listen = table.texts("listen", default.listen, accept_listen, LISTEN_FORM)
    if flags:
        accepted = [checked(flag, accept_listen, "--listen", LISTEN_FORM, table.faults) for flag in flags]
        listen = tuple(item for item in accepted if item is not None)
    elif table.has_empty("listen"):
        table.fault("listen", f"must have at least one entry; each {LISTEN_FORM}")
    if len(set(listen)) < len(listen):
        table.faults.append(Fault("--listen" if flags else table.key_of("listen"), "must not name an address twice"))
    max_calls = table.integer("max_calls", default.max_calls, 1, 1_000_000)
    proxies = table.texts("trusted_proxies", (), accept_proxy, f'{CIDR_FORM}, or the word "unix"')
    return ServerSettings(
        listen=listen,
        allowed_clients=table.texts("allowed_clients", default.allowed_clients, accept_network, CIDR_FORM),
        allowed_origins=table.texts("allowed_origins", (), accept_origin, ORIGIN_FORM),
        trusted_proxies=tuple(proxy for proxy in proxies if not isinstance(proxy, str)),
        trust_unix="unix" in proxies,
        trusted_header=table.choice("trusted_header", default.trusted_header, "forwarded"),
        max_body_bytes=table.integer("max_body_bytes", default.max_body_bytes, 1, most_bytes),
        max_audio_bytes=table.integer("max_audio_bytes", default.max_audio_bytes, 1, most_bytes),
        max_answer_bytes=table.integer("max_answer_bytes", default.max_answer_bytes, 1, most_bytes),
        max_calls=max_calls,
        max_calls_per_address=table.integer("max_calls_per_address", math.ceil(max_calls * 3 / 4), 1, 1_000_000),
        header_timeout_s=table.seconds("header_timeout_s", default.header_timeout_s, "0.001", 86_400),
        body_timeout_s=table.seconds("body_timeout_s", default.body_timeout_s, "0.001", 86_400),
        grace_s=table.seconds("grace_s", default.grace_s, "0", 86_400),
    )


def _upstream(table: Table, default: UpstreamSettings | None = None) -> UpstreamSettings:
    """Return the timeouts of a table, of `[upstream]` or of a provider; what it lacks is `default`'s."""
    name, default = "whole_answer_timeout_s", default or UpstreamSettings()
    found = {
        key: table.seconds(key, getattr(default, key), "0.001", 86_400)
        for key in (one.name for one in fields(UpstreamSettings))
    }
    if found[name] > found["total_timeout_s"]:
        if table.has(name):
            table.fault(name, f"must be at most total_timeout_s, which is {found['total_timeout_s']:g}")
        found[name] = found["total_timeout_s"]
    return UpstreamSettings(**found)


def _database_url(table: Table, flag: str | None, environ: Mapping[str, str]) -> str:
    default = "sqlite:///hero-broker.db"
    url = table.text("url", default, accept_database, DATABASE_FORM)
    from_environment = environ.get("HERO_BROKER_DATABASE_URL", "").strip()
    if flag is not None:
        url = checked(flag, accept_database, "--database", DATABASE_FORM, table.faults)
    elif from_environment:
        url = checked(from_environment, accept_database, "HERO_BROKER_DATABASE_URL", DATABASE_FORM, table.faults)
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


def _billing(table: Table) -> BillingSettings:
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
    tables: list[Table], environ: Mapping[str, str], folder: Path, upstream: UpstreamSettings, *, fake: bool
) -> tuple[ProviderSettings, ...]:
    """Return the file's providers, also the faulty ones, so that models that name them are no second fault."""
    seen = {FAKE_PROVIDER: 'is taken by the built-in provider of "--fake"; choose another'} if fake else {}
    providers = []
    for table in tables:
        name = table.text("name", None, accept_provider_name, f'{NAME_FORM}, and without "/"') or ""
        if name in seen:
            table.fault("name", seen[name])
        elif name:
            seen[name] = f"must be unique; {quoted(name)} is already used by {table.key}"
        references = table.texts("api_keys", (), accept_text, API_KEY_FORM)
        keys = (
            _api_key(reference, table.key_of(f"api_keys[{index}]"), environ, folder, table.faults)
            for index, reference in enumerate(references)
        )
        own = _upstream(table, upstream)
        providers.append(
            ProviderSettings(
                name=name,
                base_url=table.text("base_url", None, accept_base_url, BASE_URL_FORM) or "",
                api_keys=tuple(dict.fromkeys(key for key in keys if key)),
                stream_usage=table.boolean("stream_usage", True),
                timeouts=None if own == upstream else own,
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
            faults.append(Fault(key, f'names the environment variable {quoted(rest)}, which must be set ("env:NAME")'))
            return None
    elif source == "file":
        try:
            secret = (folder / rest).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            faults.append(Fault(key, f'names {quoted(rest)}, which must be a readable text file ("file:PATH")'))
            return None
    return checked(secret, accept_secret, key, API_KEY_FORM, faults)


def _providers_from_environment(environ: Mapping[str, str], faults: list[Fault]) -> tuple[ProviderSettings, ...]:
    providers = []
    for known in KNOWN_PROVIDERS:
        found = [(known.variable, environ.get(known.variable, ""))]
        if known.plural is not None:
            found += [(known.plural, key) for key in environ.get(known.plural, "").split(",")]
        form = "must be a key in printable ASCII without spaces; several are separated by commas in a plural variable"
        keys = [checked(key.strip(), accept_secret, variable, form, faults) for variable, key in found if key.strip()]
        if keys:
            unique = tuple(dict.fromkeys(key for key in keys if key))
            providers.append(ProviderSettings(known.name, known.base_url, unique, known.stream_usage))
    return tuple(providers)


def _models(tables: list[Table], providers: set[str]) -> tuple[ModelSettings, ...]:
    taken: dict[str, str] = {}
    models = []
    kinds = ", ".join(quoted(kind) for kind in CallKind)
    for table in tables:
        name = table.text("name", None, accept_name, NAME_FORM) or ""
        aliases = table.texts("aliases", (), accept_name, NAME_FORM)
        for key, word in [("name", name), *(("aliases", alias) for alias in aliases)]:
            if word in taken:
                table.fault(key, f"must be unique among names and aliases; {quoted(word)} is used by {taken[word]}")
            elif word:
                taken[word] = table.key_of(key)
        provider = table.text("provider", None, accept_name, f"must be the name of a provider; it {NAME_FORM}") or ""
        if provider and provider not in providers:
            known = ", ".join(quoted(one) for one in sorted(providers) if one) or "none is configured"
            table.fault("provider", f"must be the name of a provider, not {quoted(provider)}; known: {known}")
        models.append(
            ModelSettings(
                name=name,
                aliases=aliases,
                kind=table.text("kind", "chat", CallKind, f"must be one of {kinds}") or CallKind.CHAT,
                provider=provider,
                upstream_model=table.text("upstream_model", name or "-", accept_name, NAME_FORM) or "",
                price=_price(table.table("price"), is_given=table.has("price")),
            )
        )
    return tuple(models)


def _price(table: Table, *, is_given: bool) -> PriceSettings | None:
    if not is_given:
        return None
    prices = {
        one.name: table.price(one.name, MAX_PRICES.get(one.name, MAX_PER_MILLION)) for one in fields(PriceSettings)
    }
    rates = [name for name in prices if name != "audio_minimum_s"]  # which alone prices nothing
    if not any(table.has(name) for name in rates):
        table.faults.append(Fault(table.key, f"must have at least one of {', '.join(rates)}"))
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
