"""How a provider's HTTP interface differs from OpenAI's, as data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences of one provider."""

    credential_header: str = "authorization"
    credential_prefix: str = "Bearer "  # before the key
    headers: tuple[tuple[str, str], ...] = ()  # sent with every request, such as the version of an interface
    # Ends of the base URL below which the provider serves OpenAI's shapes; its own lie beside them, by version.
    shared_ends: tuple[str, ...] = ()

    def headers_with(self, key: str | None) -> dict[str, str]:
        """Return the provider's own headers of a request, with its key if there is one."""
        headers = dict(self.headers)
        if key is not None:
            headers[self.credential_header] = self.credential_prefix + key
        return headers

    def own_root(self, base_url: str) -> str | None:
        """Return the URL below which the provider's own interface has its versions; None if it has none."""
        return next((base_url.removesuffix(end) for end in self.shared_ends if base_url.endswith(end)), None)


OPENAI = Dialect()
COHERE = Dialect(shared_ends=("/v2", "/compatibility/v1"))

_BY_URL_END = {end: dialect for dialect in (COHERE,) for end in dialect.shared_ends}


def dialect_of(base_url: str) -> Dialect:
    """Return the dialect of the provider at this URL."""
    return next((dialect for end, dialect in _BY_URL_END.items() if base_url.endswith(end)), OPENAI)
