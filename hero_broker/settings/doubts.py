"""Warns of settings that are accepted, but can hardly be meant."""

from collections.abc import Iterator

from hero_broker.settings.model import ServerSettings, UnixListen


def doubts_about(server: ServerSettings) -> Iterator[str]:
    """Yield a sentence for each doubt about the proxies that the settings trust."""
    for network in server.trusted_proxies:
        if network.prefixlen == 0:
            yield f"server.trusted_proxies has {network}, so any caller can choose the address that is billed"
    if server.trust_unix and not any(isinstance(listen, UnixListen) for listen in server.listen):
        yield 'server.trusted_proxies has "unix", but server.listen has no Unix socket'
    is_trusting = server.trust_unix or bool(server.trusted_proxies)
    if server.trusted_header != ServerSettings().trusted_header and not is_trusting:
        yield "server.trusted_header is set, but server.trusted_proxies names no proxy, so the header is ignored"
