"""What a kind of call is: everything that the broker knows of its wire format.

`Kind` has the rules of a JSON call in OpenAI's shape. A module of this folder states how its kind differs.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import ClassVar, Protocol

import msgspec

from hero_broker.core.calls import ResponseStorage
from hero_broker.core.usage import AUDIO_BYTES_PER_S, BYTES_PER_TOKEN, Usage
from hero_broker.kinds.dialect import Dialect
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.report import BYTE_ORDER_MARK, Report, WireReply, read_report, text_usage
from hero_broker.kinds.route_spec import RouteSpec
from hero_broker.kinds.stream_rules import StreamRules
from hero_broker.kinds.texts import Reading, delivered_body, delivered_events, read_members
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, UsageDialect
from hero_broker.kinds.wide_json import is_wide
from hero_broker.kinds.wires import OPENAI_WIRE
from hero_broker.pricing.price import Price

STORED_ID = "response_id"  # the parameter in the paths of stored responses
EVENT_STREAM = "text/event-stream"
JSON = "application/json"


class Framing(Enum):
    """How a successful response is relayed."""

    WHOLE = "whole"  # after all of it has arrived and was parsed
    CHUNKS = "chunks"  # as it arrives
    EVENTS = "events"  # event by event


class HeaderRules(msgspec.Struct, frozen=True):
    """The headers of a provider's response that its client gets; names are in lower case."""

    names: tuple[str, ...] = ("content-disposition", "openai-processing-ms", "openai-version")
    prefixes: tuple[str, ...] = ()  # of further names
    renamed: tuple[tuple[str, str], ...] = ()  # the provider's name, and that for the client


class Request(msgspec.Struct, frozen=True):
    """What a client asks a model for; no provider has been chosen yet."""

    model: str  # as the client names it
    input_bytes: int  # size of what the model reads, the basis of the first estimate; an image has four for each token
    body: JsonBody = JsonBody({}, "")  # empty for a form
    stream: bool = False
    wants_usage: bool = False  # the client itself requested the stream's usage event
    characters: int | None = None  # of the text to be spoken
    # Models that the provider may use in place of `model`, as the client names them, and in `encode` as the provider
    # does.
    fallbacks: tuple[str, ...] = ()
    storage: ResponseStorage | None = None  # if it continues a response, `model` may be empty


class StoredRequest(msgspec.Struct, frozen=True):
    """A request about a response that a provider keeps; it has no body, is free, and has no row."""

    spec: RouteSpec  # for OpenAPI; only the parameters of its query are forwarded
    refused: tuple[str, ...] = ()  # parameters that may only be missing or false
    removes: bool = False  # the provider deletes the response


class TargetProvider(Protocol):
    """The facts of a provider that decide how a request to it is written."""

    @property
    def base_url(self) -> str: ...
    @property
    def stream_usage(self) -> bool: ...
    @property
    def dialect(self) -> Dialect: ...
    @property
    def drop_betas(self) -> tuple[str, ...]: ...


class WireTarget(Protocol):
    """Who may answer a request: a provider, and the model's name there."""

    @property
    def provider(self) -> TargetProvider: ...
    @property
    def upstream_model(self) -> str: ...


class CallSize(Protocol):
    """The facts of a call that are known without reading its text."""

    @property
    def input_bytes(self) -> int: ...
    @property
    def characters(self) -> int | None: ...


class Measured(msgspec.Struct, frozen=True):
    """What was counted of a call that has no reported usage, or is guessed from its size."""

    input_tokens: int
    output_tokens: int = 0
    audio_ms: int = 0


class Kind:
    """One kind of call. The defaults are those of a JSON call in OpenAI's shape that reports tokens."""

    name: ClassVar[str]  # the ledger's word
    wire: ClassVar[str] = OPENAI_WIRE  # a provider without it cannot be called
    model_kind: ClassVar[str | None] = None  # the kind of the models that it calls; None: its own
    paths: ClassVar[Mapping[str, str]]  # our path → path below a provider's base URL
    specs: ClassVar[Sequence[RouteSpec]]  # for OpenAPI, one for each path
    # Descriptions and usages of a typical call, tried in this order: a kind may be billed in one unit or another.
    typical: ClassVar[Sequence[tuple[str, Usage]]]
    example: ClassVar[Mapping[str, object]]  # members of a short request, without `model`

    takes_form: ClassVar[bool] = False  # the body is a form with a file; else it is JSON
    default_model: ClassVar[str | None] = None  # if the client names no model; None: it must
    may_omit_model: ClassVar[bool] = False  # a request may name its model in another way; `read` checks that it does
    stream_rules: ClassVar[StreamRules] = StreamRules()
    answer_types: ClassVar[tuple[type, ...]] = (dict,)  # of the JSON of a whole response
    measures_audio: ClassVar[bool] = False  # unreported usage follows from the duration of the uploaded audio
    # Members of a request that bound the tokens of its output, and those that multiply it; empty if it writes no text.
    output_bounds: ClassVar[tuple[str, ...]] = ()
    output_copies: ClassVar[tuple[str, ...]] = ()
    always_reads_tokens: ClassVar[bool] = False  # a provider that reports no input tokens is wrong
    request_headers: ClassVar[frozenset[bytes]] = frozenset()  # the client's further headers that a provider gets
    request_header_prefixes: ClassVar[tuple[bytes, ...]] = ()  # of the names of more of them; only beside others
    changes_requests: ClassVar[bool] = False  # `headers` and `query_names` say how; else all pass as they are
    query_names: ClassVar[tuple[str, ...]] = ()  # parameters of the path's query that a provider gets
    response_headers: ClassVar[HeaderRules] = HeaderRules()
    # A provider's error passes with its status and its body. Else its members are read, and form an error in our shape.
    errors_as_sent: ClassVar[bool] = False
    error_before_output_is_free: ClassVar[bool] = (
        False  # an error event before any output means that nothing is charged
    )
    # Requests below the path of calls that are free, and have no row: our path → path below a provider's base URL.
    look_ups: ClassVar[Mapping[str, str]] = {}  # `url` returns the URLs of these too
    look_up_specs: ClassVar[Sequence[RouteSpec]] = ()  # for OpenAPI, one for each of them
    # Requests about stored responses; each has `STORED_ID` in its path, which below `/v1` is that of the provider.
    stored_requests: ClassVar[Sequence[StoredRequest]] = ()

    @property
    def of_models(self) -> str:
        """The kind of the models that it calls, as in the settings."""
        return self.model_kind or self.name

    # The request

    def read(self, body: JsonBody) -> Request:
        """Check a JSON request's members, and return what they ask for.

        Raises:
            InvalidRequest: a member is missing, or has the wrong type.
        """
        raise NotImplementedError

    def read_form(self, fields: Mapping[str, str], size: int) -> Request:
        """Check the fields of a form, and return what they ask for; `size` is the form's, in bytes.

        Raises:
            InvalidRequest: a field is missing or wrong.
        """
        raise NotImplementedError

    def encode(self, request: Request, target: WireTarget) -> bytes:
        """Return the JSON for a provider."""
        return request.body.encode(model=target.upstream_model)

    def url(self, path: str, target: WireTarget) -> str:
        """Return the provider's URL for a request that came on `path`."""
        return target.provider.base_url + self.paths[path]

    def headers(self, headers: tuple[tuple[str, str], ...], target: WireTarget) -> tuple[tuple[str, str], ...]:
        """Return the headers for a provider; `headers` are the client's that may be forwarded."""
        return headers

    def read_look_up(self, body: JsonBody) -> Request:
        """Check the members of a request on one of the `look_ups`, and return what it asks for.

        Raises:
            InvalidRequest: a member is missing, or has the wrong type.
        """
        raise NotImplementedError

    # The response

    def framing(self, content_type: str, *, is_stream: bool) -> Framing:
        """Return how to relay a response; `content_type` is in lower case."""
        return Framing.EVENTS if content_type.startswith(EVENT_STREAM) else Framing.WHOLE

    def may_be_text(self, content_type: str) -> bool:
        """Return whether a whole response may be something other than JSON."""
        return False

    def report(self, body: bytes, dialect: UsageDialect = OPENAI_USAGE) -> Report:
        """Return what a JSON response, or an event's data, reports; `dialect` is the provider's."""
        return read_report(body, self.usage, dialect)

    def next_report(self, data: bytes, dialect: UsageDialect, earlier: Report) -> Report:
        """Return what an event reports, together with the stream's report before it, `earlier`.

        By default an event's usage stands for itself, and the last one counts.
        """
        return self.report(data, dialect)

    def error_code(self, data: bytes) -> str | None:
        """Return the code of an error event, for the row; None: that of the response's status."""
        return None

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return the usage that a provider reports: `reported` is its member `usage`. None if it reports none.

        Raises:
            ImplausibleError: a count is no plausible number.
        """
        return text_usage(reported)

    def is_answer(self, body: bytes) -> bool:
        """Return whether a lenient parser accepts the body as a response.

        If the JSON has too many values to be decoded, only its first character counts.
        """
        if is_wide(body):
            first = body.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
            return first == b"{" or (first == b"[" and list in self.answer_types)
        try:
            value: object = json.loads(body, parse_int=float)  # int rejects numbers with too many digits
        except (ValueError, RecursionError):
            return False
        return isinstance(value, self.answer_types)

    # Usage that no provider reported

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return what a model reads of a JSON request."""
        return Reading()

    def request_reading(self, body: bytes) -> Reading:
        """Return the model's input; JSON that has too many values to be decoded counts as one text."""
        if is_wide(body):
            return Reading((body.decode("utf-8", "replace"),))
        members = read_members(body)
        return Reading() if members is None else self.reading(members)

    def writes_tokens(self, price: Price | None) -> bool:
        """Return whether the text of a response is billed at this price."""
        return True

    def delivered_text(self, body: bytes) -> tuple[str, ...]:
        """Return the model's output from a whole response."""
        return delivered_body(body)

    def delivered_events(self, events: bytes) -> tuple[str, ...]:
        """Return the model's output from the lines of a stream's events; a line may lack its "data:"."""
        return delivered_events(events)

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return the usage of a call of which this was measured, in the units that `price` bills."""
        return Usage(input_tokens=measured.input_tokens, output_tokens=measured.output_tokens)

    def rough_usage(self, call: CallSize, price: Price | None, output_tokens: int) -> Usage:
        """Estimate usage by the size of the call; input that is billed is never 0."""
        tokens = max(1, call.input_bytes // BYTES_PER_TOKEN)
        audio_ms = call.input_bytes * 1000 // AUDIO_BYTES_PER_S
        return self.estimate(call, price, Measured(tokens, output_tokens, audio_ms))

    def usage_by_request(self, call: CallSize, price: Price | None) -> Usage | None:
        """Return usage that follows from the request and the price, and needs no report; None if there is none."""
        return None

    # The demo

    def example_body(self, model: str) -> tuple[str, bytes]:
        """Return the content type and the body of a short request."""
        return JSON, msgspec.json.encode({"model": model, **self.example})
