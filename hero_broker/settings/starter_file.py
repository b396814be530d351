"""Composes the short settings file that `hero-broker init` writes: the providers whose keys are in the environment."""

from collections.abc import Iterator, Mapping, Sequence

from hero_broker.settings.known_providers import KNOWN_PROVIDERS, KnownProvider

_HEAD = """\
# Settings of Hero Broker. `hero-broker check-config` prints what a broker with this file would serve.
# A line that begins with "#" and a key shows a default or an example: remove the "#" to use it.
# docs/reference/settings.md describes every key, and docs/examples/hero-broker.toml shows them all.

[server]
# Only this machine can call. With "[::]:33850" other machines can: set ADMIN_TOKEN in the environment first.
listen = ["127.0.0.1:33850", "[::1]:33850"]

[database]
# A relative file is in the state directory, HERO_BROKER_STATE_DIR.
# For PostgreSQL: "postgresql://USER:PASSWORD@HOST:5432/NAME"
#url = "sqlite:///hero-broker.db"
"""

_WITH_PROVIDERS = """
# Keys stay out of this file: "env:NAME" is an environment variable, "file:PATH" a file beside this one.
# Only the providers below are used. Write a table for each one that you add.
"""

_WITHOUT_PROVIDERS = """
# No provider's key was in the environment when this file was written. Without [[providers]], the broker uses the
# providers whose variables are set when it starts: docs/reference/settings.md lists them.
"""

_TAIL = """
# Models that the price list knows are served without an entry. Others need one, with a price.
#[[models]]
#name = "my-model"
#provider = "{provider}"
#[models.price]  # USD per million tokens
#input_per_million = 0.59
#output_per_million = 0.79
"""


def providers_with_keys(environ: Mapping[str, str]) -> list[KnownProvider]:
    """Return the known providers whose keys are in the environment, in the order in which they serve a model."""
    return [known for known in KNOWN_PROVIDERS if _variables_set(known, environ)]


def starter_file(environ: Mapping[str, str]) -> str:
    """Return the text of the file. It names the variables that hold keys, and contains no key."""
    providers = providers_with_keys(environ)
    if providers:
        tables = _WITH_PROVIDERS + "".join(
            _provider(known, _variables_set(known, environ), mark="") for known in providers
        )
    else:
        tables = _WITHOUT_PROVIDERS + _provider(KNOWN_PROVIDERS[0], [KNOWN_PROVIDERS[0].variable], mark="#")
    return _HEAD + tables + _TAIL.format(provider=(providers or KNOWN_PROVIDERS)[0].name)


def _variables_set(known: KnownProvider, environ: Mapping[str, str]) -> list[str]:
    variables = (known.variable, known.plural)
    return [variable for variable in variables if variable is not None and environ.get(variable, "").strip(" ,")]


def _provider(known: KnownProvider, variables: Sequence[str], mark: str) -> str:
    return "\n" + "".join(f"{mark}{line}\n" for line in _provider_lines(known, variables))


def _provider_lines(known: KnownProvider, variables: Sequence[str]) -> Iterator[str]:
    yield "[[providers]]"
    yield f'name = "{known.name}"'
    yield f'base_url = "{known.base_url}"'
    references = ", ".join(f'"env:{variable}"' for variable in variables)
    yield f"api_keys = [{references}]"
    if not known.stream_usage:
        yield "stream_usage = false"
