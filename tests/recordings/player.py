"""Plays an answer of a provider through the data plane in process, and returns the call's row."""

from dataclasses import replace
from random import Random

from hero_broker.core.calls import Caller
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.wires import WIRES
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from hero_broker.server.configured_routes import build_provider
from hero_broker.settings import ProviderSettings
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from tests.data_plane import scripted
from tests.data_plane.scripted import Head, Play, Script, run
from tests.recordings.recording import Recording

CATALOGUE = Catalogue()
STARTED_AT = 1_796_040_000  # 2026-11-30 12:00 UTC
MAX_CUTS = 12
LIMITS = replace(scripted.LIMITS, max_answer_bytes=100_000)
KEY = "sk-operators-own-key"


def pieces(body: bytes, seed: str) -> list[bytes]:
    """Cut a body at random places."""
    random = Random(seed)  # noqa: S311 (a seed repeats the cuts)
    cuts = sorted({random.randrange(1, len(body)) for _ in range(random.randint(0, MAX_CUTS))})
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def provider_of(name: str, base_url: str = "") -> Provider:
    """Return a provider; a known one by its name alone."""
    known = {one.name: one for one in KNOWN_PROVIDERS}.get(name)
    url = base_url or (known.base_url if known else f"https://{name}.example/v1")
    return build_provider(
        ProviderSettings(name, url, (KEY,), known is None or known.stream_usage, wires=dict.fromkeys(WIRES, url))
    )


def tariff_of(recording: Recording) -> Tariff | None:
    """Return the tariff of the model that the call asks for."""
    if recording.own_price is not None:
        return Tariff.fixed(recording.own_price, is_override=True)
    return CATALOGUE.tariff(recording.provider, recording.model)


def play(recording: Recording, seed: str = "", started_at: int = STARTED_AT) -> tuple[RequestLog, Play]:
    """Play a recording, cut at the places of a seed; return the row, and all that the call met."""
    provider = provider_of(recording.provider, recording.base_url)
    way = Route.to(recording.model, None, provider, recording.model, (), tariff_of(recording))
    way = way.over(KINDS[recording.kind].wire) or way
    head = Head(content_type=content_type(is_stream=recording.is_stream))
    script: Script = [head, *pieces(recording.body, seed)]
    return play_script(script, way, recording.request_body(recording.model), recording.kind, recording.path, started_at)


def content_type(*, is_stream: bool) -> str:
    """Return the content type of an answer."""
    return "text/event-stream" if is_stream else "application/json"


def play_script(
    script: Script,
    way: Route,
    body: bytes,
    kind: str = "chat",
    path: str = "/v1/chat/completions",
    started_at: int = STARTED_AT,
) -> tuple[RequestLog, Play]:
    """Play what a provider does; `body` is the client's request."""
    request = KINDS[kind].read(read_json(body))
    context = RequestContext("id", Caller("192.0.2.1", None), started_at)
    call = ClientCall(context, KINDS[kind], path, request)

    async def main() -> tuple[RequestLog, Play]:
        playing = Play([script], call, LIMITS, way=way, listed=CATALOGUE.tariff_of_name)
        return await playing.whole(), playing

    return run(main())
