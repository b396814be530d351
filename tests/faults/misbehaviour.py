"""Every way in which the hostile provider misbehaves, and what must become of the calls that meet it."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.hostile_provider import Drip, Forever, Hang, KeepOpen, Pause, Reset, Step
from tests.wires import named

# Bounds of the broker under test, in seconds and bytes; see `provider_faults.SETTINGS`.
IDLE_S = 1.0
TOTAL_S = 1.6
MAX_ANSWER_BYTES = 4_000_000
BOMB_BYTES = 50_000_000

CHAT, STREAM, EMBEDDING, SPEECH, HEARD, RANKED = "chat", "stream", "embedding", "speech", "heard", "ranked"
MESSAGE, MESSAGE_STREAM, RESPONSE, RESPONSE_STREAM = "message", "message stream", "response", "response stream"
AGENT_FORMS = (MESSAGE, MESSAGE_STREAM, RESPONSE, RESPONSE_STREAM)
STREAMS = (STREAM, MESSAGE_STREAM, RESPONSE_STREAM)
JSON_FORMS = (CHAT, EMBEDDING, MESSAGE, RESPONSE)
OPENAI_FORMS = (CHAT, STREAM, EMBEDDING, SPEECH)  # their errors have one shape, whatever the provider sends
FORMS = (*OPENAI_FORMS, *AGENT_FORMS)
ALL_FORMS = (*FORMS, HEARD, RANKED)


@dataclass(frozen=True, slots=True)
class Charged:
    """What the provider's books say of a call: the usage that it reported and that can be believed."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a call."""

    outcome: str
    code: str | None  # of the row
    usage: str  # its `usage_source`
    seen: str  # by the client: "answer", "error 502", "error event" or "cut off"
    charged: Charged | None = None
    delivers: bytes | None = None  # the answer's exact bytes, without encodings; None where any will do


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to calls of some forms, and what must become of each."""

    name: str
    steps: Mapping[str, Sequence[Step]]
    expected: Mapping[str, Expected] = field(repr=False)


NO_FAULT, IN_PIECES, LONG = "no fault", "no fault, in pieces", "no fault, a long answer"
REPORTED = dict.fromkeys((CHAT, STREAM, *AGENT_FORMS), Charged(40, 3)) | {EMBEDDING: Charged(40, 0)}
USAGE = b'{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43}'
DONE = b"data: [DONE]\n\n"
KIND = dict.fromkeys(ALL_FORMS, b"application/json") | dict.fromkeys(STREAMS, b"text/event-stream")
KIND[SPEECH] = b"audio/mpeg"


def chat_body(usage: bytes | None = USAGE, text: bytes = b"one two three") -> bytes:
    """Return a chat's answer; the id is the same for all."""
    told = b"" if usage is None else b',"usage":' + usage
    message = b'{"role":"assistant","content":"' + text + b'"}'
    choices = b'"choices":[{"index":0,"message":' + message + b',"finish_reason":"stop"}]'
    return b'{"id":"chatcmpl-same","object":"chat.completion","model":"m",' + choices + told + b"}"


def delta(text: bytes = b"one ", usage: bytes | None = None, finish: bytes = b"null") -> bytes:
    """Return an event of a stream."""
    told = b"" if usage is None else b',"usage":' + usage
    choice = b'{"index":0,"delta":{"content":"' + text + b'"},"finish_reason":' + finish + b"}"
    return b'data: {"id":"chatcmpl-same","choices":[' + choice + b"]" + told + b"}\n\n"


DELTAS = delta() + delta(b"two ") + delta(b"three", finish=b'"stop"')


def usage_event(usage: bytes = USAGE) -> bytes:
    """Return the event that has usage and empty `choices`."""
    return b'data: {"id":"chatcmpl-same","choices":[],"usage":' + usage + b"}\n\n"


AGENT_USAGE: Mapping[str, object] = {"input_tokens": 40, "output_tokens": 3}
TEXT = {"type": "text", "text": "one two three"}
MESSAGE_BODY: Mapping[str, object] = {"type": "message", "role": "assistant", "content": [TEXT], "usage": AGENT_USAGE}
MESSAGE_EVENTS: Sequence[Mapping[str, object]] = (
    {"type": "message_start", "message": {**MESSAGE_BODY, "content": [], "usage": {**AGENT_USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one "}} for _ in range(3)),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)
RESPONSE_BODY: Mapping[str, object] = {
    "id": "resp_same",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "one two three"}]}],
    "usage": {**AGENT_USAGE, "total_tokens": 43},
}
RESPONSE_EVENTS: Sequence[Mapping[str, object]] = (
    {"type": "response.created", "response": {**RESPONSE_BODY, "status": "in_progress", "output": [], "usage": None}},
    *({"type": "response.output_text.delta", "output_index": 0, "delta": "one "} for _ in range(6)),
    {"type": "response.completed", "response": RESPONSE_BODY},
)
MESSAGE_STARTED, RESPONSE_STARTED = b"".join(named(*MESSAGE_EVENTS[:3])), b"".join(named(*RESPONSE_EVENTS[:2]))
EMBEDDED = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}],"model":"m"'
BODY = {
    CHAT: chat_body(),
    STREAM: DELTAS + usage_event() + DONE,
    EMBEDDING: EMBEDDED + b',"usage":{"prompt_tokens":40,"total_tokens":40}}',
    SPEECH: b"ID3" + bytes(range(256)) * 200,
    HEARD: b'{"text":"one two three","usage":{"type":"duration","seconds":30}}',
    RANKED: b'{"results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":1}}}',
    MESSAGE: json.dumps(MESSAGE_BODY).encode(),
    MESSAGE_STREAM: b"".join(named(*MESSAGE_EVENTS)),
    RESPONSE: json.dumps(RESPONSE_BODY).encode(),
    RESPONSE_STREAM: b"".join(named(*RESPONSE_EVENTS)),
}


def head(form: str, *lines: bytes, status: bytes = b"200 OK", kind: bytes | None = None) -> bytes:
    """Return the head of an answer after which the connection is closed."""
    told = [b"HTTP/1.1 " + status, b"content-type: " + (kind or KIND[form]), b"connection: close", *lines]
    return b"\r\n".join(told) + b"\r\n\r\n"


def sized(form: str, body: bytes, *lines: bytes, status: bytes = b"200 OK", kind: bytes | None = None) -> bytes:
    """Return a whole answer that says its length."""
    return head(form, b"content-length: %d" % len(body), *lines, status=status, kind=kind) + body


def chunks(body: bytes, size: int = 1000) -> bytes:
    """Return a body in chunks, with its end."""
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in cut) + b"0\r\n\r\n"


CHUNKED = b"transfer-encoding: chunked"


def sent(form: str, body: bytes, *lines: bytes, kind: bytes | None = None) -> bytes:
    """Return a whole answer as such providers send it: events in chunks, the rest with its length."""
    if form in STREAMS:
        return head(form, CHUNKED, *lines, kind=kind) + chunks(body)
    return sized(form, body, *lines, kind=kind)


def whole(form: str, body: bytes | None = None, charged: Charged | None = None, usage: str = "reported") -> Expected:
    """Return what becomes of a call that is answered in full."""
    told = charged or (REPORTED.get(form) if usage == "reported" else None)
    return Expected("ok", None, usage, "answer", told, BODY[form] if body is None else body)


def fails(form: str, code: str, *, begun: bool, status: int = 502) -> Expected:
    """Return what becomes of a call whose answer fails, before or after it has `begun`."""
    if not begun:
        return Expected("provider_error", code, "none", f"error {status}")
    usage = "reported" if form == SPEECH else "estimated"
    seen = dict.fromkeys(STREAMS, "error event") | {SPEECH: "cut off"}
    return Expected("provider_error", code, usage, seen.get(form, f"error {status}"))


def broken_off(form: str, usage: str = "estimated") -> Expected:
    """Return what becomes of a stream that ends before its last event."""
    charged = REPORTED[form] if usage == "reported" else None
    return Expected("provider_error", ENDED, usage, "error event", charged)


def unread(form: str, code: str, status: int = 502) -> Expected:
    """Return what becomes of a call that the provider took, and whose answer never began for the client."""
    return Expected("provider_error", code, "reported" if form == SPEECH else "estimated", f"error {status}")


GONE, ENDED = "provider_unreachable", "stream_broke_off"
SILENT, NONSENSE = "provider_timeout", "provider_bad_answer"
RESET = "provider_reset"


def _none() -> list[Fault]:
    """No fault at all: answers as they should be, at once, in pieces, and long."""
    long = {SPEECH: BODY[SPEECH] * 40, STREAM: delta(b"a" * 1000) * 1500 + BODY[STREAM]}
    return [
        Fault(NO_FAULT, {f: [sent(f, BODY[f])] for f in ALL_FORMS}, {f: whole(f) for f in ALL_FORMS}),
        Fault(
            IN_PIECES,
            {f: [head(f), Drip(BODY[f], -(-len(BODY[f]) // 5), 0.01)] for f in ALL_FORMS},
            {f: whole(f) for f in ALL_FORMS},
        ),
        Fault(LONG, {f: [sent(f, body)] for f, body in long.items()}, {f: whole(f, body) for f, body in long.items()}),
    ]


def _connection() -> list[Fault]:
    """Connections that break off, hang and drip."""
    before: dict[str, tuple[list[Step], str, int]] = {
        "end in the head": ([b"HTTP/1.1 200 OK\r\ncontent-ty"], GONE, 502),
        "reset in the head": ([b"HTTP/1.1 200 OK\r\ncontent-ty", Pause(0.05), Reset()], GONE, 502),
        "hang before the head": ([Hang()], SILENT, 504),
        "hang in the head": ([b"HTTP/1.1 200 OK\r\ncontent-ty", Hang()], SILENT, 504),
        "head that drips for ever": ([b"HTTP/1.1 200 OK\r\nx-a: ", Forever(b"a", 0.1)], SILENT, 504),
        "1xx for ever": ([Forever(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 0.05)], SILENT, 504),
    }
    faults = [
        Fault(name, dict.fromkeys(FORMS, steps), {f: unread(f, code, status) for f in FORMS})
        for name, (steps, code, status) in before.items()
    ]
    none: dict[str, list[Step]] = {"reset before the head": [Reset()], "end before the head": []}
    faults += [
        Fault(name, dict.fromkeys(FORMS, steps), {f: fails(f, RESET, begun=False) for f in FORMS})
        for name, steps in none.items()
    ]
    refused = Expected("provider_error", "provider_400", "none", "error 400")
    broken: dict[str, list[Step]] = {
        "breaks off": [b"HTTP/1.1 400 Bad Request\r\ncontent-ty"],
        "hangs": [b"HTTP/1.1 400 Bad Request\r\ncontent-ty", Hang()],
        "is not readable": [b"HTTP/1.1 400 Bad Request\r\ncontent-length: many\r\n\r\n{}"],
    }
    faults += [
        Fault(f"400 whose head {name}", dict.fromkeys(FORMS, steps), dict.fromkeys(FORMS, refused))
        for name, steps in broken.items()
    ]
    half = {form: BODY[form][: len(BODY[form]) // 2] for form in FORMS}
    length = {form: head(form, b"content-length: %d" % len(BODY[form])) for form in FORMS}
    first = {form: head(form, CHUNKED) + b"%x\r\n%s\r\n" % (len(half[form]), half[form]) for form in FORMS}
    ends: dict[str, tuple[Mapping[str, bytes], list[Step], str, int]] = {
        "end in the body": (length, [], GONE, 502),
        "reset in the body": (length, [Pause(0.05), Reset()], GONE, 502),
        "hang in the body": (length, [Hang()], SILENT, 504),
    }
    for name, (begun, steps, code, status) in ends.items():
        sending: dict[str, Sequence[Step]] = {form: [begun[form] + half[form], *steps] for form in FORMS}
        faults.append(Fault(name, sending, {f: fails(f, code, begun=True, status=status) for f in FORMS}))
    faults += [
        Fault("no last chunk", {f: [first[f]] for f in FORMS}, {f: fails(f, GONE, begun=True) for f in FORMS}),
        Fault(
            "end in a body without a length",
            {form: [head(form) + half[form]] for form in FORMS},
            {
                **{form: fails(form, NONSENSE, begun=True) for form in JSON_FORMS},
                **{form: broken_off(form) for form in STREAMS},
                SPEECH: whole(SPEECH, half[SPEECH]),  # nothing tells that it is cut: no length, no end
            },
        ),
        Fault(
            "body that drips",
            {form: [head(form), Drip(BODY[form], -(-len(BODY[form]) // 10), 0.02)] for form in FORMS},
            {form: whole(form) for form in FORMS},
        ),
        Fault(
            "body that drips for ever",
            {form: [head(form), Forever(b" ", 0.05)] for form in FORMS},
            {form: fails(form, SILENT, begun=True, status=504) for form in FORMS},
        ),
        Fault(
            "events for ever",
            {STREAM: [head(STREAM), Forever(delta(), 0.01)]},
            {STREAM: fails(STREAM, SILENT, begun=True)},
        ),
        Fault(
            "events for ever, at full speed",
            {STREAM: [head(STREAM), Forever(delta() * 200, 0.001)]},
            {STREAM: fails(STREAM, SILENT, begun=True)},
        ),
        Fault("hang after [DONE]", {STREAM: [head(STREAM) + BODY[STREAM], Hang()]}, {STREAM: whole(STREAM)}),
        Fault(
            "events for ever after [DONE]",
            {STREAM: [head(STREAM) + BODY[STREAM], Forever(delta() * 200)]},
            {STREAM: Expected("ok", None, "reported", "answer", REPORTED[STREAM])},
        ),
        Fault(
            "comments for ever after [DONE]",
            {STREAM: [head(STREAM) + BODY[STREAM], Forever(b": ping\n\n", 0.01)]},
            {STREAM: Expected("ok", None, "reported", "answer", REPORTED[STREAM])},
        ),
    ]
    return faults


def _framing() -> list[Fault]:
    """Answers whose framing is broken, and heads that are."""
    faults = []
    broken = {
        "chunk whose size is no number": b"zz\r\nabc\r\n",
        "chunk that is longer than it says": b"2\r\nabcdef\r\n",
        "chunk of negative size": b"-5\r\nabc\r\n",
    }
    for name, data in broken.items():
        # A pause, so that the answer has begun when it breaks.
        steps: dict[str, Sequence[Step]] = {
            f: [head(f, CHUNKED), b"1\r\n%s\r\n" % BODY[f][:1], Pause(0.05), data] for f in FORMS
        }
        faults.append(Fault(name, steps, {form: fails(form, GONE, begun=True) for form in FORMS}))
    heads: dict[str, bytes] = {
        "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "bytes at random": bytes(range(256)) * 8,
        "length that is no number": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}",
        "length that is negative": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}",
        "length beyond 64 bits": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
        "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}abc",
        "header of 1 MiB": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * (1 << 20) + b"\r\ncontent-length: 2\r\n\r\n{}",
        "bare CR in a header": b"HTTP/1.1 200 OK\r\nopenai-version: a\rx-injected: 1\r\ncontent-length: 2\r\n\r\n{}",
        "bare LF in a header": b"HTTP/1.1 200 OK\r\ncontent-disposition: a\nx\r\ncontent-length: 2\r\n\r\n{}",
        "NUL in a header": b"HTTP/1.1 200 OK\r\ncontent-disposition: a\0b\r\ncontent-length: 2\r\n\r\n{}",
        "length among the trailers": head(CHAT, CHUNKED) + chunks(BODY[CHAT])[:-2] + b"content-length: 3\r\n\r\n",
        "answer that is longer than it says, in one piece": head(CHAT, b"content-length: 2") + b"{} " + BODY[CHAT],
        "10,000 headers": b"HTTP/1.1 200 OK\r\n" + b"x-a: a\r\n" * 10_000 + b"content-length: 2\r\n\r\n{}",
    }
    faults += [
        Fault(name, {form: [data] for form in FORMS}, {form: unread(form, NONSENSE) for form in FORMS})
        for name, data in heads.items()
    ]
    faults.append(
        Fault(
            "headers for ever",
            {form: [b"HTTP/1.1 200 OK\r\n", Forever(b"x-a: a\r\n" * 100)] for form in FORMS},
            {form: unread(form, NONSENSE) for form in FORMS},
        )
    )
    good: dict[str, Mapping[str, Sequence[Step]]] = {
        "1xx before the answer": {f: [b"HTTP/1.1 103 Early Hints\r\n\r\n", sent(f, BODY[f])] for f in FORMS},
        "trailers": {f: [head(f, CHUNKED) + chunks(BODY[f])[:-2] + b"x-trailer: 1\r\n\r\n"] for f in FORMS},
        "HTTP/1.0": {f: [head(f).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY[f]] for f in FORMS},
        "transfer encoding that nobody knows": {f: [head(f, b"transfer-encoding: x-none") + BODY[f]] for f in FORMS},
        "chunks of one byte": {f: [head(f, CHUNKED) + chunks(BODY[f], 1)] for f in FORMS},
        "another answer behind the first": {
            f: [
                sent(f, BODY[f]).replace(b"connection: close\r\n", b"")
                + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
                KeepOpen(),
            ]
            for f in FORMS
        },
        "control characters in headers": {
            f: [sent(f, BODY[f], b"content-disposition: a\x0bb\x7f", b"openai-version: \x1b[2J")] for f in FORMS
        },
        "headers that the broker sets itself": {
            f: [sent(f, BODY[f], b"x-request-id: theirs", b"set-cookie: a=1", b"x-should-retry: true")] for f in FORMS
        },
    }
    faults += [Fault(name, steps_of, {form: whole(form) for form in FORMS}) for name, steps_of in good.items()]
    short = {form: BODY[form][: -len(DONE)] for form in FORMS}
    faults += [
        Fault(
            "length that is too long",
            {form: [head(form, b"content-length: %d" % (len(BODY[form]) + 5)) + BODY[form]] for form in FORMS},
            {
                # The stream's client has its last event; what would have come after it is nobody's.
                **{form: fails(form, GONE, begun=True) for form in FORMS},
                **{form: whole(form) for form in STREAMS},
            },
        ),
        Fault(
            "length that is too short",
            {
                form: [head(form, b"content-length: %d" % len(short[form])), Pause(0.05), short[form], DONE]
                for form in FORMS
            },
            {
                **{form: fails(form, NONSENSE, begun=True) for form in JSON_FORMS},
                STREAM: whole(STREAM, short[STREAM]),  # its usage came, and no more text was to come
                MESSAGE_STREAM: broken_off(MESSAGE_STREAM, "reported"),
                RESPONSE_STREAM: broken_off(RESPONSE_STREAM),
                SPEECH: whole(SPEECH, short[SPEECH]),
            },
        ),
    ]
    return faults


def _encodings() -> list[Fault]:
    """Responses that are compressed although no compression was accepted, and bombs."""
    packed = {form: gzip.compress(BODY[form]) for form in FORMS}
    deflated = {form: zlib.compress(BODY[form]) for form in FORMS}
    spaces = b" " * BOMB_BYTES
    bomb, flat_bomb = gzip.compress(spaces), zlib.compress(spaces)
    codings: dict[str, tuple[bytes, Mapping[str, bytes]]] = {
        "gzip": (b"gzip", packed),
        "deflate": (b"deflate", deflated),
    }
    faults = [
        Fault(
            name,
            {form: [sent(form, data[form], b"content-encoding: " + coding)] for form in FORMS},
            {form: whole(form) for form in FORMS},
        )
        for name, (coding, data) in codings.items()
    ]
    faults += [
        Fault(
            f"{name} bomb of {BOMB_BYTES // 1_000_000} MB",
            {form: [sent(form, data, b"content-encoding: " + coding)] for form in (CHAT, STREAM, EMBEDDING)},
            {
                CHAT: fails(CHAT, "provider_answer_too_long", begun=True),
                STREAM: fails(STREAM, "provider_bad_stream", begun=True),
                EMBEDDING: fails(EMBEDDING, "provider_answer_too_long", begun=True),
            },
        )
        for name, coding, data in (("gzip", b"gzip", bomb), ("deflate", b"deflate", flat_bomb))
    ]
    for coding in (b"br", b"zstd", b"gzip, br", b"x-none-such"):
        line = b"content-encoding: " + coding
        told = {form: sized(form, b"\x0b\x02\x80{}", line) for form in FORMS}
        name = f"coding {coding.decode()}"
        faults.append(Fault(name, {f: [told[f]] for f in FORMS}, {f: unread(f, NONSENSE) for f in FORMS}))
        refused = Expected("provider_error", "provider_400", "none", "error 400")
        told = {form: sized(form, b"\x0b\x02\x80{}", line, status=b"400 Bad") for form in FORMS}
        faults.append(Fault(f"400 in the {name}", {f: [told[f]] for f in FORMS}, dict.fromkeys(FORMS, refused)))
    several = {form: gzip.compress(BODY[form][:70]) + gzip.compress(BODY[form][70:]) for form in FORMS}
    bare = {form: zlib.compress(BODY[form], wbits=-zlib.MAX_WBITS) for form in FORMS}
    good: dict[str, tuple[bytes, Mapping[str, bytes]]] = {
        "gzip of two members": (b"gzip", several),
        "gzip, in capitals": (b"GZip", packed),
        "deflate without its frame": (b"deflate", bare),
        "no coding, by name": (b"identity", BODY),
    }
    faults += [
        Fault(
            name,
            {form: [sent(form, data[form], b"content-encoding: " + coding)] for form in FORMS},
            {form: whole(form) for form in FORMS},
        )
        for name, (coding, data) in good.items()
    ]
    faults.append(
        Fault(
            "gzip, a byte at a time",
            {form: [head(form, b"content-encoding: gzip"), Drip(packed[form], 1, 0.0)] for form in (CHAT, STREAM)},
            {form: whole(form) for form in (CHAT, STREAM)},
        )
    )
    faults += [
        Fault(
            "gzip that is cut short",
            {form: [sent(form, packed[form][:-12], b"content-encoding: gzip")] for form in (*JSON_FORMS, SPEECH)},
            {form: fails(form, NONSENSE, begun=True) for form in (*JSON_FORMS, SPEECH)},
        ),
        Fault(
            "gzip that is none",
            {form: [sent(form, BODY[form], b"content-encoding: gzip")] for form in JSON_FORMS},
            {form: fails(form, NONSENSE, begun=True) for form in JSON_FORMS},
        ),
    ]
    return faults


def _bodies() -> list[Fault]:
    """Whole answers that are none."""
    told: dict[str, bytes] = {
        "half of a JSON answer": BODY[CHAT][:80],
        "empty answer": b"",
        "HTML with status 200": b"<!doctype html><html><body>Welcome to the hotel's network</body></html>",
        "JSON that is no object": b"[1,2,3]",
        "null": b"null",
        "JSON that is 100,000 levels deep": b"[" * 100_000 + b"]" * 100_000,
        "bytes that are no text": bytes(range(128, 256)),
        "two JSON answers": BODY[CHAT] * 2,
    }
    faults = [
        Fault(
            name,
            {f: [sized(f, data, kind=b"text/html" if data.startswith(b"<") else None)] for f in JSON_FORMS},
            {f: fails(f, NONSENSE, begun=True) for f in JSON_FORMS},
        )
        for name, data in told.items()
    ]
    error = b'{"error":{"message":"bad key sk-provider-key","type":"overloaded","code":"busy"}}'
    long = chat_body(text=b"a" * MAX_ANSWER_BYTES)
    return [
        *faults,
        Fault(
            "error with status 200",
            {form: [sized(form, error, kind=b"application/json")] for form in OPENAI_FORMS},
            {form: fails(form, "provider_200", begun=False) for form in OPENAI_FORMS},
        ),
        Fault(
            "answer longer than max_answer_bytes",
            {CHAT: [sized(CHAT, long)]},
            {CHAT: fails(CHAT, "provider_answer_too_long", begun=True)},
        ),
        Fault(
            "answer for ever, at full speed",
            {form: [head(form), Forever(b" " * 65536)] for form in JSON_FORMS},
            {form: fails(form, "provider_answer_too_long", begun=True) for form in JSON_FORMS},
        ),
        Fault(
            "status 204",
            {form: [b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"] for form in FORMS},
            {form: fails(form, "provider_204", begun=False) for form in FORMS},
        ),
        Fault(
            "stream answered as one JSON",
            {STREAM: [sized(CHAT, BODY[CHAT])]},
            {STREAM: whole(STREAM, BODY[CHAT])},
        ),
        Fault(
            "JSON call answered as a stream",
            {CHAT: [sent(STREAM, BODY[STREAM])]},
            {CHAT: Expected("ok", None, "reported", "answer", REPORTED[CHAT])},
        ),
    ]


def _events() -> list[Fault]:
    """Streams of strange shape; most are legal, and pass byte for byte."""
    text = "Grüße 東京 🙂".encode()
    line = delta(b"a" * (1 << 20))
    good: dict[str, bytes] = {
        "lines that end in CRLF": BODY[STREAM].replace(b"\n", b"\r\n"),
        "byte order mark": b"\xef\xbb\xbf" + BODY[STREAM],
        "byte order mark before the usage": b"\xef\xbb\xbf" + delta(usage=USAGE, finish=b'"stop"') + DONE,
        "data on many lines": DELTAS + usage_event().replace(b',"usage"', b',\ndata: "usage"') + DONE,
        "no space after data:": BODY[STREAM].replace(b"data: ", b"data:"),
        "U+2028, U+2029, U+0085 and form feed in a line": delta("a\u2028b\u2029c\u0085d".encode()) + BODY[STREAM],
        "lines of 1 MiB": line * 3 + BODY[STREAM],
        "comments, ids, names and retries": b": hi\n\nid: 1\nevent: message\nretry: 5\n" + BODY[STREAM] + b": bye\n\n",
        "JSON that is broken in one event": b'data: {"choices":[{\n\n' + BODY[STREAM],
        "no blank line after [DONE]": BODY[STREAM][:-1],
        "no line end after [DONE]": BODY[STREAM][:-2],
        "no [DONE]": DELTAS + usage_event(),
        "no [DONE], no usage event": delta() + delta(b"two ", usage=USAGE, finish=b'"stop"'),
        "two finish reasons": DELTAS + delta(b"", finish=b'"length"') + usage_event() + DONE,
        "no finish reason": delta() + usage_event() + DONE,
        "[DONE] twice": BODY[STREAM] + DONE,
        "[DONE] first": DONE + DELTAS + usage_event(),
    }
    faults = [Fault(name, {STREAM: [sent(STREAM, data)]}, {STREAM: whole(STREAM, data)}) for name, data in good.items()]
    split = delta(text) + BODY[STREAM]
    faults += [
        Fault(
            "UTF-8 that is split, a byte at a time",
            {STREAM: [head(STREAM), Drip(split, 1, 0.0)]},
            {STREAM: whole(STREAM, split)},
        ),
        Fault(
            "no line end for 9 MiB",
            {STREAM: [head(STREAM) + b"data: " + b"a" * (9 << 20), Hang()]},
            {STREAM: fails(STREAM, "provider_bad_stream", begun=True)},
        ),
        Fault(
            "no line end for 9 MiB, 1 KiB at a time",
            {STREAM: [head(STREAM) + b"data: ", *[b"a" * 1024] * (9 << 10), Hang()]},
            {STREAM: fails(STREAM, "provider_bad_stream", begun=True)},
        ),
    ]
    plain = head(STREAM, kind=b"text/plain; charset=utf-8")
    for name, begin in (
        ("stream that is said to be text", plain),
        ("stream of no content type", b"HTTP/1.1 200 OK\r\n\r\n"),
    ):
        faults.append(Fault(name, {STREAM: [begin + BODY[STREAM]]}, {STREAM: whole(STREAM)}))
    faults.append(
        Fault(
            "lines that end in CR alone",  # legal, but nobody sends it, and nobody would read it as it arrives
            {STREAM: [sent(STREAM, BODY[STREAM].replace(b"\n", b"\r"))]},
            {STREAM: fails(STREAM, ENDED, begun=True)},
        )
    )
    error = b'data: {"error":{"message":"bad key sk-provider-key","code":502}}\n\n'
    bad: dict[str, tuple[bytes, str, str]] = {
        "empty stream": (b"", ENDED, "estimated"),
        "half of an event": (DELTAS[:150], ENDED, "estimated"),
        "stream that ends in the middle of the text": (delta() + delta(), ENDED, "estimated"),
        "half of the usage event": (delta() + usage_event()[:70], ENDED, "estimated"),
    }
    for name, (data, code, usage) in bad.items():
        expected = Expected("provider_error", code, usage, "error event")
        faults.append(Fault(name, {STREAM: [sent(STREAM, data)]}, {STREAM: expected}))
    masked = error.replace(b"sk-provider-key", b"***")
    for name, before, after in (
        ("error first", b"", b""),
        ("error in the middle", delta() + delta(), b""),
        ("error in the middle, and [DONE]", delta(), DONE),
    ):
        failed = Expected("provider_error", "provider_200", "estimated", "error event", None, before + masked + after)
        faults.append(Fault(name, {STREAM: [sent(STREAM, before + error + after)]}, {STREAM: failed}))
    reported = Expected("provider_error", "provider_200", "reported", "error event", Charged(40, 1), None)
    data = delta() + error + usage_event(b'{"prompt_tokens":40,"completion_tokens":1}') + DONE
    return [*faults, Fault("error, and usage after it", {STREAM: [sent(STREAM, data)]}, {STREAM: reported})]


def _statuses() -> list[Fault]:
    """Refusals, redirects and failures."""
    faults: list[Fault] = []
    error = b'{"error":{"message":"no, sk-provider-key","type":"t","param":null,"code":"c"}}'
    html = b"<html><body>nginx sk-provider-key</body></html>"
    passed = {400, 404, 409, 413, 415, 422, 429, 502, 503, 504}
    for status in (301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 408, 409, 413, 415, 418, 422, 429, 451):
        _refused(faults, status, error, passed, (b"location: http://127.0.0.1:1/stolen",))
    for status in (500, 501, 502, 503, 504, 520, 529, 599, 999):
        _refused(faults, status, html, passed, ())
    for name, after in (
        ("of seconds", b"7"),
        ("of a date", b"Wed, 21 Oct 2026 07:28:00 GMT"),
        ("that is negative", b"-1"),
        ("of 40 digits", b"9" * 40),
        ("with a control character", b"soon\x0b1"),
    ):
        _refused(faults, 429, error, passed, (b"retry-after: " + after,), f"429 with a Retry-After {name}")
    none = {form: Expected("provider_error", "provider_101", "none", "error 502") for form in FORMS}
    steps = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", b"\0" * 100]
    faults.append(Fault("status 101", dict.fromkeys(FORMS, steps), none))
    for name, more in (("for ever", Forever(b" " * 65536)), ("that hangs", Hang()), ("that is reset", Reset())):
        told: list[Step] = [head(CHAT, b"content-length: 999999999", status=b"400 Bad"), Pause(0.05), more]
        expected = Expected("provider_error", "provider_400", "none", "error 400")
        faults.append(Fault(f"400 with a body {name}", dict.fromkeys(FORMS, told), dict.fromkeys(FORMS, expected)))
    return faults


def _refused(
    faults: list[Fault], status: int, body: bytes, passed: set[int], lines: Sequence[bytes], name: str = ""
) -> None:
    kind = b"text/html" if body.startswith(b"<") else b"application/json"
    answer = sized(CHAT, b"" if status == 304 else body, *lines, status=b"%d No" % status, kind=kind)
    seen = f"error {status if status in passed else 502}"
    expected = Expected("provider_error", f"provider_{status}", "none", seen)
    steps_of: dict[str, Sequence[Step]] = {form: [answer] for form in OPENAI_FORMS}
    faults.append(Fault(name or f"status {status}", steps_of, dict.fromkeys(OPENAI_FORMS, expected)))


# Usage that a provider may report, and what of it is believed.
STRANGE: dict[str, tuple[bytes, Charged | None]] = {
    "null": (b"null", None),
    "of no members": (b"{}", None),
    "negative": (b'{"prompt_tokens":-1,"completion_tokens":3}', None),
    "negative output": (b'{"prompt_tokens":40,"completion_tokens":-3}', None),
    "huge": (b'{"prompt_tokens":1000000001,"completion_tokens":3}', None),
    "beyond 64 bits": (b'{"prompt_tokens":1000000000000000000000000000000,"completion_tokens":3}', None),
    "of 5,000 digits": (b'{"prompt_tokens":' + b"9" * 5000 + b',"completion_tokens":3}', None),
    "1e999": (b'{"prompt_tokens":1e999,"completion_tokens":3}', None),
    "NaN": (b'{"prompt_tokens":NaN,"completion_tokens":3}', None),
    "Infinity": (b'{"prompt_tokens":Infinity,"completion_tokens":3}', None),
    "a fraction": (b'{"prompt_tokens":40.5,"completion_tokens":3}', None),
    "text": (b'{"prompt_tokens":"40","completion_tokens":3}', None),
    "a list": (b'{"prompt_tokens":[40],"completion_tokens":3}', None),
    "true": (b'{"prompt_tokens":true,"completion_tokens":3}', None),
    "of a wrong type": (b'"many"', None),
    "a list itself": (b"[40,3]", None),
    "with details of a wrong type": (
        b'{"prompt_tokens":40,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":"all"}}',
        None,
    ),
    "the largest that is believed": (
        b'{"prompt_tokens":1000000000,"completion_tokens":1000000000}',
        Charged(1_000_000_000, 1_000_000_000),
    ),
    "with a total that is wrong": (
        b'{"prompt_tokens":40,"completion_tokens":3,"total_tokens":-7}',
        Charged(40, 3),
    ),
    "with more cached than there is": (
        b'{"prompt_tokens":40,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":999999}}',
        Charged(40, 3),
    ),
    "with a cost of NaN": (b'{"prompt_tokens":40,"completion_tokens":3,"cost":-1}', Charged(40, 3)),
}


def _usages() -> list[Fault]:
    """Usage that is missing, comes twice, or cannot be believed."""
    faults = []
    for name, (usage, charged) in STRANGE.items():
        source = "estimated" if charged is None else "reported"
        plain, events = chat_body(usage), DELTAS + usage_event(usage) + DONE
        faults.append(
            Fault(
                f"usage {name}",
                {CHAT: [sent(CHAT, plain)], STREAM: [sent(STREAM, events)]},
                {CHAT: whole(CHAT, plain, charged, source), STREAM: whole(STREAM, events, charged, source)},
            )
        )
    zero = b'{"prompt_tokens":0,"completion_tokens":0}'
    plain, events = chat_body(zero), DELTAS + usage_event(zero) + DONE
    nothing = {
        form: Expected("ok", "zero_usage", "reported", "answer", Charged(0, 0), body)
        for form, body in ((CHAT, plain), (STREAM, events))
    }
    faults.append(Fault("usage zero", {CHAT: [sent(CHAT, plain)], STREAM: [sent(STREAM, events)]}, nothing))
    twice = chat_body()[:-1] + b',"usage":{"prompt_tokens":50,"completion_tokens":6}}'
    faults.append(
        Fault("usage twice in one answer", {CHAT: [sent(CHAT, twice)]}, {CHAT: whole(CHAT, twice, Charged(50, 6))})
    )
    growing = b"".join(
        delta(b"w ", usage=b'{"prompt_tokens":40,"completion_tokens":%d}' % count) for count in range(1, 8)
    )
    late = usage_event(b'{"prompt_tokens":50,"completion_tokens":6}')
    streams: dict[str, tuple[bytes, Charged | None]] = {
        "missing": (DELTAS + DONE, None),
        "null in every event": (delta(usage=b"null") * 4 + delta(usage=b"null", finish=b'"stop"') + DONE, None),
        "twice": (DELTAS + usage_event() + late + DONE, Charged(50, 6)),
        "cumulative, in every event": (growing + DONE, Charged(40, 7)),
        "after [DONE]": (DELTAS + DONE + usage_event(), Charged(40, 3)),
        "before and after [DONE]": (DELTAS + usage_event() + DONE + late, Charged(50, 6)),
        "first": (usage_event() + DELTAS + DONE, Charged(40, 3)),
        "in the event of the finish reason": (delta() + delta(usage=USAGE, finish=b'"stop"') + DONE, Charged(40, 3)),
        "believable, then not": (DELTAS + usage_event() + usage_event(b'{"prompt_tokens":-1}') + DONE, Charged(40, 3)),
        "beside a nested null": (
            DELTAS + b'data: {"choices":[],"x":{"usage":null},"usage":' + USAGE + b"}\n\n" + DONE,
            Charged(40, 3),
        ),
    }
    for name, (data, charged) in streams.items():
        source = "estimated" if charged is None else "reported"
        faults.append(
            Fault(f"usage {name}", {STREAM: [sent(STREAM, data)]}, {STREAM: whole(STREAM, data, charged, source)})
        )
    for form, body in ((CHAT, chat_body(None)), (EMBEDDING, EMBEDDED + b"}")):
        faults.append(
            Fault(f"no usage: {form}", {form: [sent(form, body)]}, {form: whole(form, body, None, "estimated")})
        )
    return faults


def _agents() -> list[Fault]:
    """Errors, streams and usage of the wires that agents speak."""
    error = b'{"error":{"type":"overloaded_error","code":"busy","message":"no, sk-provider-key"},"type":"error"}'
    masked = error.replace(b"sk-provider-key", b"***")
    event, passed = (b"event: error\ndata: %s\n\n" % data for data in (error, masked))
    codes = {MESSAGE_STREAM: "overloaded_error", RESPONSE_STREAM: "busy"}
    started = {MESSAGE_STREAM: MESSAGE_STARTED, RESPONSE_STREAM: RESPONSE_STARTED}
    faults = [
        Fault(
            "error event before any output",
            {form: [sent(form, event)] for form in codes},
            {
                form: Expected("provider_error", code, "none", "error event", None, passed)
                for form, code in codes.items()
            },
        ),
        Fault(
            "error event after output",
            {form: [sent(form, started[form] + event)] for form in codes},
            {
                form: Expected("provider_error", code, "estimated", "error event", None, started[form] + passed)
                for form, code in codes.items()
            },
        ),
    ]
    for status in (400, 404, 413, 429, 500, 503, 529):
        refused = Expected("provider_error", f"provider_{status}", "none", f"error {status}", None, masked)
        answer = sized(CHAT, error, status=b"%d No" % status)
        name = f"status {status} of a wire of agents"
        faults.append(Fault(name, {form: [answer] for form in AGENT_FORMS}, dict.fromkeys(AGENT_FORMS, refused)))
    for status in (301, 401, 402, 403):
        refused = Expected("provider_error", f"provider_{status}", "none", "error 502")
        answer = sized(CHAT, error, b"location: http://127.0.0.1:1/stolen", status=b"%d No" % status)
        name = f"status {status} of a wire of agents"
        faults.append(Fault(name, {form: [answer] for form in AGENT_FORMS}, dict.fromkeys(AGENT_FORMS, refused)))
    changes: dict[str, Callable[[bytes], bytes]] = {
        "lines that end in CRLF": lambda body: body.replace(b"\n", b"\r\n"),
        "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
        "comments, ids and retries": lambda body: b": hi\n\nid: 1\nretry: 5\n" + body + b": bye\n\n",
        "[DONE] behind the last event": lambda body: body + DONE,
        "no line end behind the last event": lambda body: body[:-2],
    }
    for name, change in changes.items():
        bodies = {form: change(BODY[form]) for form in codes}
        streams: dict[str, Sequence[Step]] = {form: [sent(form, body)] for form, body in bodies.items()}
        faults.append(
            Fault(f"stream of agents with {name}", streams, {form: whole(form, body) for form, body in bodies.items()})
        )
    for name, usage in (("negative", -1), ("a text", "40"), ("beyond 64 bits", 10**30), ("a fraction", 40.5)):
        used = {"usage": {**AGENT_USAGE, "input_tokens": usage}}
        bodies = {MESSAGE: json.dumps({**MESSAGE_BODY, **used}).encode()}
        bodies[RESPONSE] = json.dumps({**RESPONSE_BODY, **used}).encode()
        told = {form: whole(form, body, None, "estimated") for form, body in bodies.items()}
        faults.append(
            Fault(f"usage of agents {name}", {form: [sent(form, body)] for form, body in bodies.items()}, told)
        )
    return faults


def without_usage_events(body: bytes) -> bytes:
    """Return what remains of a stream for a client who did not ask for usage."""
    return b"".join(event for event in re.findall(rb".*?(?:\n\r?\n|$)", body, re.DOTALL) if not _is_usage(event))


def _is_usage(event: bytes) -> bool:
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")]
    try:
        told = json.loads(b"\n".join(lines), parse_int=float)  # int rejects numbers with too many digits
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("choices") == [] and told.get("usage") is not None


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for group in (_none, _connection, _framing, _encodings, _bodies, _events, _statuses, _usages, _agents)
    for fault in group()
}


def steps(fault: str, form: str) -> Sequence[Step]:
    """Return what the provider does to a call."""
    return FAULTS[fault].steps[form]
