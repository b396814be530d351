"""Checks single values: each function returns the value, or raises ValueError if it is not in the accepted form."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from hero_broker.kinds.registry import MODEL_KINDS
from hero_broker.settings.model import IpNetwork, Listen, TcpListen, UnixListen

MAX_NAME_LENGTH = 200  # characters of a model, provider or upstream model
MAX_TEXT_LENGTH = 2000  # characters of a text with several lines
MAX_UNIX_PATH_BYTES = 107  # Linux's sun_path without the final zero byte

LISTEN_FORM = 'must be "ADDRESS:PORT", "[IPV6]:PORT", "localhost:PORT" or "unix:/ABSOLUTE/PATH"'
CIDR_FORM = 'must be an address or a network, such as "10.77.0.0/24" (not "10.77.0.1/24") or "400::/7"'
ORIGIN_FORM = (
    'must be an origin as browsers send it, "SCHEME://HOST" or "SCHEME://HOST:PORT" in ASCII without a path, '
    'such as "https://chat.example.org"; "*" and "null" are not accepted'
)
DATABASE_FORM = 'must be "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST:PORT/NAME" ("postgres://" too)'
BASE_URL_FORM = 'must be an http:// or https:// URL without user, query or fragment, such as "https://host/v1"'
# What the broker appends to a base URL; with it, every call would be 404 at the provider.
_ENDPOINT = re.compile(
    r"/(?:chat/completions|completions|embeddings|responses(?:/compact|/input_tokens)?|messages(?:/count_tokens)?|rerank|moderations|images/(?:generations|edits)"
    r"|audio/(?:speech|transcriptions|translations))$",
    re.IGNORECASE,
)
BETA_FORM = 'must be the name of a beta, such as "context-management-2025-06-27"'
_BETA = re.compile(r"[A-Za-z0-9._-]{1,100}")
NAME_FORM = f"must be 1 to {MAX_NAME_LENGTH} printable characters without a space at either end"
LINE_FORM = f"must be at most {MAX_NAME_LENGTH} printable characters without a space at either end"
TEXT_FORM = f"must be at most {MAX_TEXT_LENGTH} printable characters, in one or several lines"
ADMIN_FORM = "must be the token itself, in printable characters"
API_KEY_FORM = 'must be "env:NAME", "file:PATH" or the key itself, in printable ASCII without spaces'

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def accept_string(text: str) -> str:
    return text


def accept_one_of(text: str, words: tuple[str, ...]) -> str:
    return _require(text, text in words)


def accept_kind(text: str) -> str:
    return _require(text, text in MODEL_KINDS)


def accept_name(text: str) -> str:
    return _require(text, 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable() and text == text.strip())


def accept_line(text: str) -> str:
    """Return a name, or an empty text."""
    return accept_name(text) if text else text


def accept_text(text: str) -> str:
    """Return the lines of a text without empty ones around them."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return _require("\n".join(lines), len(text) <= MAX_TEXT_LENGTH and all(line.isprintable() for line in lines))


def accept_provider_name(text: str) -> str:
    return _require(accept_name(text), "/" not in text)


def accept_secret(text: str) -> str:
    return _require(text, bool(text) and all("!" <= character <= "~" for character in text))


def accept_token(text: str) -> str:
    """Return a token of the admin plane; it need not be ASCII, because tokens are compared as bytes."""
    return _require(text, bool(text) and text.isprintable())


def accept_listen(text: str) -> Listen:
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


def accept_network(text: str) -> IpNetwork:
    """Return the network; IPv4-mapped IPv6 becomes IPv4, like the addresses that it is compared with."""
    network = ip_network(_require(text, "%" not in text))
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def accept_origin(text: str) -> str:
    """Return the origin as browsers spell it: in lower case, without the scheme's default port."""
    match = _ORIGIN.fullmatch(_require(text, text.isascii()).lower())
    if match is None:
        raise ValueError
    scheme, host, port = match.groups()
    if host.startswith("["):
        host = f"[{IPv6Address(host[1:-1])}]"
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    _require(text, 0 < int(port) <= 65_535)
    return f"{scheme}://{host}:{int(port)}"


def accept_proxy(text: str) -> IpNetwork | str:
    return text if text == "unix" else accept_network(text)


def accept_base_url(text: str) -> str:
    url = urlsplit(text)
    plain = all("!" <= character <= "~" for character in text)
    bare = "@" not in url.netloc and "?" not in text and "#" not in text
    _require(text, url.scheme in ("http", "https") and bool(url.hostname) and plain and bare and url.port != 0)
    return text.rstrip("/")


def accept_base_url_or_empty(text: str) -> str:
    return accept_base_url(text) if text else text


def accept_beta(text: str) -> str:
    return _require(text, _BETA.fullmatch(text) is not None)


def endpoint_of(base_url: str) -> str:
    """Return the path of a call that ends `base_url`, such as "/chat/completions"; empty if there is none."""
    match = _ENDPOINT.search(base_url)
    return "" if match is None else match[0]


def accept_database(text: str) -> str:
    url = urlsplit(text)
    _require(text, text.isprintable())
    if text.startswith("sqlite:///"):
        path = text.removeprefix("sqlite:///").partition("?")[0]
        is_file = bool(path) and not path.endswith("/") and not path.startswith((":", "file:"))
        return _require(text, is_file)
    return _require(text, text.startswith(("postgresql://", "postgres://")) and url.port != 0 and len(url.path) > 1)


def _require(text: str, is_accepted: bool) -> str:
    if not is_accepted:
        raise ValueError
    return text


def quoted(word: str) -> str:
    return f'"{word}"'
