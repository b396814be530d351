"""The wires that providers speak: each is a format of requests, responses and errors, with a way to send the key.

A kind names its wire. What a model is does not depend on it: a chat model is called over every wire of its provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from hero_broker.kinds.dialect import Dialect, dialect_of

OPENAI_WIRE, ANTHROPIC_WIRE, RESPONSES_WIRE = "openai", "anthropic", "responses"
WIRES = (OPENAI_WIRE, ANTHROPIC_WIRE, RESPONSES_WIRE)  # in the order in which they are listed to people

# How a key is sent, by the word of the setting `auth`: the header, and what comes before the key.
AUTHS: Mapping[str, tuple[str, str]] = {"bearer": ("authorization", "Bearer "), "x-api-key": ("x-api-key", "")}

# The wires that a provider speaks beside OpenAI's, at the same base URL; by its host, and for all hosts below it.
# Sources: https://docs.x.ai/docs/api-reference, https://openrouter.ai/docs/api-reference/responses-api and
# https://console.groq.com/docs/responses-api.
_FURTHER_WIRES: Mapping[str, str] = {
    "api.anthropic.com": ANTHROPIC_WIRE,
    "api.openai.com": RESPONSES_WIRE,
    "api.x.ai": RESPONSES_WIRE,
    "openrouter.ai": RESPONSES_WIRE,
    "api.groq.com": RESPONSES_WIRE,
}
_VERSION = "/v1"  # at the end of a base URL


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider speaks a wire, and how."""

    base_url: str  # what the paths of kinds are appended to
    dialect: Dialect


def default_wires(base_url: str) -> tuple[str, ...]:
    """Return the wires of the provider at this URL, unless its settings name them."""
    host = urlsplit(base_url).hostname or ""
    further = (wire for known, wire in _FURTHER_WIRES.items() if host == known or host.endswith(f".{known}"))
    return (OPENAI_WIRE, *further)


def endpoint_of_wire(wire: str, url: str, auth: str | None = None) -> Endpoint:
    """Return the endpoint of a wire at a provider's URL; `auth` is a word of `AUTHS`, None the wire's own way.

    Anthropic's base URL has no version, and OpenAI's has; for Anthropic's wire, either is accepted.
    """
    if wire == ANTHROPIC_WIRE:
        url, dialect, auth = url.removesuffix(_VERSION) + _VERSION, Dialect(), auth or "x-api-key"
    else:
        dialect = dialect_of(url)
    if auth is not None:
        header, prefix = AUTHS[auth]
        dialect = replace(dialect, credential_header=header, credential_prefix=prefix)
    return Endpoint(url, dialect)
