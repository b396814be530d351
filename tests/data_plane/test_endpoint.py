"""The endpoint of all calls: what it reads, what it refuses, and which slots it takes and frees."""

import asyncio
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import msgspec
import pytest
from starlette.types import Scope

from hero_broker.core.calls import Caller
from hero_broker.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    BrokerError,
    ClientLeft,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    ProviderReset,
    TooManyCalls,
    UnsupportedMedia,
)
from hero_broker.core.records import StoredResponse
from hero_broker.data_plane.checks import EarlyCheck
from hero_broker.data_plane.endpoint import DataPlane
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.spool import HOLD_BYTES
from hero_broker.data_plane.stored_responses import StoredResponses
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import SlotCounter
from hero_broker.limits.limit import Dimensions, Limit, server_limits
from hero_broker.metering.estimates import Estimates
from hero_broker.pricing.listing import Listing
from hero_broker.providers.routes import Route, Routes
from hero_broker.providers.upstream.client import Upstream
from tests.data_plane.compressing import zstd
from tests.data_plane.scripted import (
    LIMITS,
    PAUSE,
    Head,
    Script,
    ScriptedClient,
    ScriptedClock,
    ScriptedLedger,
    ScriptedProvider,
    WordCounter,
    route,
    run,
    skip,
    turns,
    until,
)
from tests.data_plane.test_multipart import form, part

IP = "192.0.2.1"
ASKED = b'{"model":"m","messages":[{"role":"user","content":"one"}]}'
ANSWER = b'{"choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
HEARD = b'{"text":"yes","usage":{"type":"duration","seconds":2}}'
WHOLE: Script = [Head(), ANSWER]
MAX_BODY = 1000
MAX_AUDIO = 10 * HOLD_BYTES
TIMEOUT_S = 20.0
OF_SERVER = {"server.max_calls_per_address": 1, "server.max_calls": 1}
LEFT = {"type": "http.disconnect"}
SMALL_FORM = form(part("model", b"m"), part("file", b"x" * 100, file_name="a.wav"))


class NoList:
    """A price list without models."""

    def find(self, _provider: str, _model: str) -> Listing | None:
        return None

    def models(self, _provider: str) -> Sequence[str]:
        return ()


class Directory:
    """Stored responses in a dictionary, by id and owner; it can fail."""

    def __init__(self) -> None:
        self.responses: dict[tuple[str, str], StoredResponse] = {}
        self.lookups: list[tuple[str, str]] = []
        self.failure: BrokerError | None = None

    def keep(self, *responses: StoredResponse) -> None:
        """Have stored responses."""
        self.responses |= {(one.response_id, one.owner): one for one in responses}

    async def find(self, response_id: str, owner: str) -> StoredResponse | None:
        """Return an owner's stored response."""
        self.lookups.append((response_id, owner))
        if self.failure is not None:
            raise self.failure
        return self.responses.get((response_id, owner))

    def remove(self, response_id: str, owner: str) -> None:
        """Forget a stored response."""
        del self.responses[response_id, owner]


class Endpoint:
    """A `DataPlane` over a scripted provider; make it inside `run`."""

    exact: Mapping[str, str] = MappingProxyType({})  # headers whose names have underscores

    def __init__(
        self,
        uploads: Path,
        *scripts: Script,
        default_models: dict[str, str] | None = None,
        early_checks: Sequence[EarlyCheck] = (),
        ways: Sequence[Route] = (),
        client: ScriptedClient | None = None,
        limits: Sequence[Limit] = (),
    ) -> None:
        self.order: list[str] = []
        self.provider = ScriptedProvider(self.order, *scripts)
        self.ledger = ScriptedLedger(self.order)
        self.admission = Admission([*server_limits(2, 1), *limits])
        self.client = client or ScriptedClient(self.order)
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.estimates = Estimates(WordCounter())
        clock = ScriptedClock()
        self.exchange = Exchange(
            cast(Upstream, self.provider),
            cast(Ledger, self.ledger),
            self.estimates,
            clock,
            LIMITS,
            admission=self.admission if limits else None,
        )
        routes = Routes(ways or [route()], [], NoList())
        self.directory = Directory()
        models = default_models or {}
        self.plane = DataPlane(
            self.exchange,
            routes,
            self.admission,
            clock,
            MAX_BODY,
            MAX_AUDIO,
            TIMEOUT_S,
            uploads,
            models,
            StoredResponses(self.directory, routes),
            early_checks=early_checks,
        )

    @property
    def in_flight(self) -> dict[str, int]:
        """The calls in flight by limit, those of the address of the tests, and of it alone."""
        counters = {
            one.limit.name: one.counter(Dimensions(IP, None, "m", "p", "chat")) for one in self.admission.limits
        }
        return {name: one.in_flight for name, one in counters.items() if isinstance(one, SlotCounter) and one.in_flight}

    def sends(self, *pieces: bytes, more: bool = False) -> None:
        """Let the client send a body."""
        for number, piece in enumerate(pieces, start=1):
            self.messages.put_nowait({"type": "http.request", "body": piece, "more_body": more or number < len(pieces)})

    def begin(
        self,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        deployment: str | None = None,
        query: str = "",
        **headers: str,
    ) -> "asyncio.Task[None]":
        """Make a request; in the names of `headers`, an underscore stands for a hyphen."""
        is_form = "audio/tr" in path
        usual = {"content_type": "multipart/form-data; boundary=b" if is_form else "application/json"}
        pairs = [
            (name.replace("_", "-").lower().encode(), value.encode("latin-1"))
            for name, value in {**usual, **headers}.items()
        ]
        pairs += [(name.encode(), value.encode()) for name, value in self.exact.items()]
        scope: Scope = {
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": pairs,
            "state": {
                "client": self.client.channel(),
                "caller": Caller(IP, None),
                "request_id": "id",
                "headers": dict(pairs),
                **({} if deployment is None else {"deployment": deployment}),
            },
        }

        async def receive() -> dict[str, Any]:
            return await self.messages.get()

        async def send(_message: object) -> None:
            raise AssertionError("the endpoint answers through its client alone")

        self.task = asyncio.ensure_future(self.plane(scope, receive, send))
        return self.task

    async def end(self) -> BaseException | None:
        """Wait for the end; check that every slot is free, and return what was raised."""
        await until(self.task.done)
        self.estimates.close()
        assert self.in_flight == {}
        assert self.exchange.in_flight == 0
        return self.task.exception()


def test_call_whose_body_came_with_its_head_is_made(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE)
        endpoint.client.whole_body = ASKED
        endpoint.begin(content_type="Application/JSON ; charset=utf-8", openai_beta="b", x_other="c")
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    assert (endpoint.client.status, endpoint.client.body) == (200, ANSWER)
    (row,) = endpoint.ledger.rows
    assert (row.ip, row.request_id, row.kind, row.started_at) == (IP, "id", "chat", 1_700_000_000)


def test_body_may_come_in_pieces(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE)
        endpoint.sends(ASKED[:10], b"", ASKED[10:])
        endpoint.begin()
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    assert (endpoint.client.status, endpoint.client.body) == (200, ANSWER)
    assert msgspec.json.decode(cast(bytes, endpoint.provider.bodies[0])) == msgspec.json.decode(ASKED)


def test_request_without_a_model_gets_the_default_of_its_kind(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, default_models={"chat": "m"})
        endpoint.sends(ASKED.replace(b'"model":"m",', b""))
        endpoint.begin()
        assert await endpoint.end() is None
        return endpoint

    assert run(whole()).ledger.rows[0].model == "m"


@pytest.mark.parametrize("given", [b"", b'"model":null,', b'"model":"m",'])
def test_path_names_the_model_of_a_request_without_one(tmp_path: Path, given: bytes) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE, default_models={"chat": "another"})
        endpoint.sends(ASKED.replace(b'"model":"m",', given))
        endpoint.begin(deployment="m")
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    assert endpoint.ledger.rows[0].model == "m"
    assert msgspec.json.decode(cast(bytes, endpoint.provider.bodies[0]))["model"] == route().upstream_model


PATHS = ("/v1/chat/completions", "/v1/audio/transcriptions")
GZIP = {"content_encoding": "gzip"}


@pytest.mark.parametrize(
    ("path", "request_is", "pieces", "error"),
    [
        *[
            pytest.param(path, given, (), error, id=f"{path[4:9]} {name}")
            for path in PATHS
            for name, given, error in [
                ("GET", {"method": "GET"}, MethodNotAllowed),
                ("other type", {"content_type": "text/plain"}, UnsupportedMedia),
                ("no type", {"content_type": ""}, UnsupportedMedia),
                ("deflate", {"content_encoding": "deflate"}, UnsupportedMedia),
                ("two encodings", {"content_encoding": "gzip, zstd"}, UnsupportedMedia),
            ]
        ],
        pytest.param(PATHS[1], {"content_encoding": "gzip"}, (), UnsupportedMedia, id="form in gzip"),
        pytest.param(PATHS[0], GZIP, (b"{}",), InvalidRequest, id="no gzip"),
        pytest.param(PATHS[0], GZIP, (gzip.compress(ASKED)[:-1],), InvalidRequest, id="truncated gzip"),
        pytest.param(PATHS[0], GZIP, (gzip.compress(b" " * 1001),), BodyTooLarge, id="gzip of a long body"),
        pytest.param(PATHS[0], GZIP, (b"\x1f\x8b\x08\x08" + b"name" * 1000,), BodyTooLarge, id="long gzip of nothing"),
        pytest.param(PATHS[0], {**GZIP, "content_length": "9000"}, (), BodyTooLarge, id="length in gzip"),
        pytest.param(PATHS[0], {"content_length": str(MAX_BODY + 1)}, (), BodyTooLarge, id="length"),
        pytest.param(PATHS[1], {"content_length": str(MAX_AUDIO + 1)}, (), BodyTooLarge, id="length of a form"),
        pytest.param(PATHS[0], {}, (b"x" * 600, b"x" * 600), BodyTooLarge, id="pieces too long"),
        pytest.param(PATHS[0], {"deployment": "n"}, (ASKED,), InvalidRequest, id="another deployment"),
        pytest.param(
            PATHS[0], {"deployment": "n"}, (ASKED.replace(b'"m"', b'"n"'),), ModelNotFound, id="no such deployment"
        ),
        pytest.param(PATHS[1], {"deployment": "n"}, (), ModelNotFound, id="form, no such deployment"),
        pytest.param(
            PATHS[1], {"deployment": "m"}, (SMALL_FORM.replace(b"\nm\r", b"\nn\r"),), InvalidRequest, id="form, another"
        ),
        pytest.param(PATHS[0], {}, (b"{",), InvalidRequest, id="no JSON"),
        pytest.param(PATHS[0], {}, (ASKED.replace(b'"m"', b'"n"'),), ModelNotFound, id="no such model"),
        pytest.param(PATHS[0], {}, (ASKED.replace(b'"model":"m",', b""),), InvalidRequest, id="no model"),
        pytest.param(PATHS[1], {"content_type": "multipart/form-data"}, (), InvalidRequest, id="no boundary"),
        pytest.param(PATHS[1], {}, (SMALL_FORM[:50],), InvalidRequest, id="form without its end"),
        pytest.param(PATHS[1], {}, (SMALL_FORM.replace(b"\nm\r", b"\nn\r"),), ModelNotFound, id="form, no such model"),
        pytest.param(PATHS[1], {}, (form(part("model", b"m")),), InvalidRequest, id="form without a file"),
        pytest.param(
            PATHS[1],
            {},
            (form(part("model", b"m"), part("stream", b"maybe"), part("file", b"x", file_name="a")),),
            InvalidRequest,
            id="wrong field",
        ),
    ],
)
def test_request_is_refused_before_anything_is_sent(
    tmp_path: Path, path: str, request_is: dict[str, str], pieces: tuple[bytes, ...], error: type[BrokerError]
) -> None:
    async def whole() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(tmp_path)
        endpoint.sends(*pieces)
        endpoint.begin(path, **request_is)
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, error)
    assert (endpoint.ledger.notes, endpoint.provider.urls, endpoint.client.status) == ([], [], None)
    assert not list(tmp_path.rglob("*.upload"))


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in pieces"])
@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("Zstd", zstd)])
def test_provider_gets_plain_json_of_a_compressed_body(
    tmp_path: Path, encoding: str, compress: Callable[[bytes], bytes], is_whole: bool
) -> None:
    body = ASKED.ljust(MAX_BODY)  # exactly as long as it may be
    encoded = compress(body)

    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE)
        if is_whole:
            endpoint.client.whole_body = encoded
        else:
            endpoint.sends(*(encoded[at : at + 1] for at in range(len(encoded))), b"")
        endpoint.begin(content_encoding=encoding)
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    assert msgspec.json.decode(cast(bytes, endpoint.provider.bodies[0])) == msgspec.json.decode(ASKED)
    assert endpoint.ledger.rows[0].input_tokens == 40


def test_second_line_of_the_encoding_is_refused(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path)
        endpoint.client.whole_body = ASKED
        endpoint.begin(**{"content_encoding": "gzip", "Content-Encoding": "identity"})
        return await endpoint.end()

    assert isinstance(run(whole()), UnsupportedMedia)


def test_length_that_is_no_number_counts_as_unknown(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, WHOLE)
        endpoint.sends(ASKED)
        endpoint.begin(content_length="+5", content_encoding="Identity")
        assert await endpoint.end() is None
        return endpoint

    assert run(whole()).client.status == 200


def test_body_that_came_with_its_head_has_the_same_bound(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path)
        endpoint.client.whole_body = b"x" * (MAX_BODY + 1)
        endpoint.begin()
        return await endpoint.end()

    assert isinstance(run(whole()), BodyTooLarge)


@pytest.mark.parametrize(
    ("path", "before"), [(PATHS[0], b""), (PATHS[0], b"{"), (PATHS[1], b""), (PATHS[1], SMALL_FORM[:50])]
)
def test_body_that_pauses_is_refused_in_time(tmp_path: Path, path: str, before: bytes) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path)
        endpoint.sends(before, more=True)
        endpoint.begin(path)
        await turns()
        assert endpoint.in_flight == OF_SERVER
        skip(TIMEOUT_S - 1)
        await turns()
        assert not endpoint.task.done()
        skip(2)
        return await endpoint.end()

    assert isinstance(run(whole()), BodyTimeout)


def test_long_upload_has_a_timeout_for_each_body_that_it_could_be(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path)
        endpoint.begin(PATHS[1], content_length=str(2 * MAX_BODY))
        await turns()
        skip(3 * TIMEOUT_S - 1)
        await turns()
        assert not endpoint.task.done()
        skip(2)
        return await endpoint.end()

    assert isinstance(run(whole()), BodyTimeout)


@pytest.mark.parametrize("path", PATHS)
def test_early_check_refuses_before_the_body_is_read(tmp_path: Path, path: str) -> None:
    def no_more(caller: Caller) -> None:
        raise TooManyCalls(f"{caller.ip} calls too often.", retry_after_s=7)

    async def whole() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(tmp_path, early_checks=[no_more])
        endpoint.sends(b"{}")
        endpoint.begin(path)
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, TooManyCalls)
    assert (raised.message, raised.retry_after_s) == (f"{IP} calls too often.", 7)
    assert endpoint.messages.qsize() == 1
    assert endpoint.ledger.notes == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("before", [(), (b"",)])
def test_client_that_leaves_while_it_sends_has_no_row(tmp_path: Path, path: str, before: tuple[bytes, ...]) -> None:
    async def whole() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(tmp_path)
        endpoint.sends(*before, more=True)
        endpoint.messages.put_nowait(LEFT)
        endpoint.begin(path)
        return endpoint, await endpoint.end()

    endpoint, raised = run(whole())

    assert isinstance(raised, ClientLeft)
    assert endpoint.ledger.notes == []


def test_address_has_one_slot_until_its_call_ends_or_its_client_leaves(tmp_path: Path) -> None:
    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, [Head(), PAUSE, ANSWER], WHOLE)
        endpoint.client.whole_body = ASKED
        first = endpoint.begin()
        await endpoint.provider.paused()
        assert endpoint.in_flight == OF_SERVER
        second = endpoint.begin()
        await until(second.done)
        assert isinstance(second.exception(), TooManyCalls)
        endpoint.client.leave()
        assert endpoint.in_flight == {}
        endpoint.task = first
        await turns()
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return endpoint

    assert [row.outcome for row in run(whole()).ledger.rows] == ["client_disconnected"]


@pytest.mark.parametrize("more", [False, True], ids=["small", "large"])
def test_upload_is_made_whole_or_while_it_arrives(tmp_path: Path, more: bool) -> None:
    large = form(part("model", b"m"), part("file", b"x" * (2 * HOLD_BYTES), file_name="a.wav"))

    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, [Head(), HEARD])
        endpoint.sends(large[: HOLD_BYTES + 1000] if more else SMALL_FORM, more=more)
        endpoint.begin(PATHS[1])
        if more:
            await until(lambda: endpoint.provider.urls)
            endpoint.sends(large[HOLD_BYTES + 1000 :])
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    (row,) = endpoint.ledger.rows
    assert (row.kind, row.outcome, row.audio_ms, endpoint.client.body) == ("stt", "ok", 2000, HEARD)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_upload_that_fails_while_it_is_sent_ends_its_call(tmp_path: Path) -> None:
    large = form(part("model", b"m"), part("file", b"x" * (2 * HOLD_BYTES), file_name="a.wav"))

    async def whole() -> Endpoint:
        endpoint = Endpoint(tmp_path, [PAUSE, ProviderReset("")])
        endpoint.sends(large[: HOLD_BYTES + 1000], more=True)
        endpoint.begin(PATHS[1])
        await endpoint.provider.paused()
        endpoint.sends(b"x" * MAX_AUDIO, more=True)
        await turns()
        endpoint.provider.go_on()
        assert await endpoint.end() is None
        return endpoint

    endpoint = run(whole())

    (row,) = endpoint.ledger.rows
    assert (row.outcome, row.error_code, row.http_status) == ("client_disconnected", "request_too_large", 413)
    assert endpoint.client.status == 413
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_upload_that_the_journal_refuses_is_closed(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        endpoint = Endpoint(tmp_path)
        endpoint.ledger._room = 0
        endpoint.sends(SMALL_FORM)
        endpoint.begin(PATHS[1])
        return await endpoint.end()

    raised = run(whole())

    assert isinstance(raised, BrokerError)
    assert raised.code == "ledger_unavailable"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_upload_whose_request_is_cancelled_is_closed(tmp_path: Path) -> None:
    async def whole() -> None:
        endpoint = Endpoint(tmp_path)
        endpoint.sends(SMALL_FORM[:50], more=True)
        task = endpoint.begin(PATHS[1])
        await turns()
        task.cancel()
        await until(task.done)
        await turns()
        assert task.cancelled()
        assert endpoint.in_flight == {}
        assert [task for task in asyncio.all_tasks() if task.get_name() == "upload"] == []
        endpoint.estimates.close()

    run(whole())
