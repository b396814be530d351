"""What chats and text completions have in common: text that may be streamed, with usage on request."""

from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, Framing, Kind, Request, WireTarget
from hero_broker.kinds.report import read_text_report
from hero_broker.kinds.stream_rules import FINISH_REASON, StreamRules

# What some servers send as the content type of an event stream.
UNDECLARED_TYPES = ("", "text/plain", "application/octet-stream")
_STREAM_MEMBERS = frozenset({"stream", "stream_options"})


def text_framing(content_type: str, *, is_stream: bool) -> Framing:
    """Return how to relay a response of text; a stream may lack its content type."""
    if content_type.startswith(EVENT_STREAM) or (is_stream and content_type.partition(";")[0] in UNDECLARED_TYPES):
        return Framing.EVENTS
    return Framing.WHOLE


class TextStreamKind(Kind):
    """A kind whose streams give a finish reason, end with [DONE], and report usage if they are asked to."""

    stream_rules = StreamRules(finish=FINISH_REASON)
    framing = staticmethod(text_framing)
    report = staticmethod(read_text_report)

    def text_request(self, body: JsonBody, input_bytes: int) -> Request:
        """Return the request of a body whose input has this size.

        Raises:
            InvalidRequest: `stream` is no boolean, or `stream_options` no object.
        """
        if _STREAM_MEMBERS.isdisjoint(body.members):
            return Request(body.model, input_bytes, body)
        options = body.json_object("stream_options")
        return Request(
            body.model,
            input_bytes,
            body,
            stream=body.boolean("stream"),
            wants_usage=options.get("include_usage") is True,
        )

    def encode(self, request: Request, target: WireTarget) -> bytes:
        """Return the JSON for a provider; a stream is asked to report usage if the provider knows how."""
        body = request.body
        if not request.stream or not target.provider.stream_usage:
            return body.encode(model=target.upstream_model)
        options = {**body.json_object("stream_options"), "include_usage": True}
        return body.encode(model=target.upstream_model, stream_options=options)
