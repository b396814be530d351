"""Forms are rewritten for the provider, however they are cut into pieces."""

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.errors import InvalidRequest, ModelNotFound
from hero_broker.data_plane.multipart import MAX_PARTS, FormRewriter, parse_boundary

AUDIO = bytes(range(256)) * 3 + b"\r\n--other\r\n"


def part(name: str, value: bytes, *, file_name: str | None = None) -> bytes:
    file = "" if file_name is None else f'; filename="{file_name}"\r\nContent-Type: audio/wav'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


GOOD_PARTS = part("model", b"m") + part("file", b"x", file_name="a")
GOOD = form(part("model", b"heard"), part("language", b"de"), part("file", AUDIO, file_name="a.wav"))


def rewrite(body: bytes, size: int = 1 << 20, deployment: str | None = None) -> tuple[FormRewriter, bytes]:
    rewriter = FormRewriter(b"b", lambda name: f"upstream-{name}", deployment)
    out = b"".join(rewriter.feed(body[at : at + size]) for at in range(0, len(body), size))
    return rewriter, out + rewriter.finish()


def parts_of(rewriter: FormRewriter, out: bytes) -> list[tuple[Any, str | None, Any]]:
    head = f"Content-Type: {rewriter.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + out)
    return [
        (
            piece.get_param("name", header="content-disposition"),
            piece.get_filename(),
            piece.get_payload(decode=True),
        )
        for piece in message.iter_parts()
    ]


@given(st.integers(1, 300))
def test_model_is_replaced_and_all_else_kept_in_pieces_of_any_size(size: int) -> None:
    rewriter, out = rewrite(GOOD, size)

    assert parts_of(rewriter, out) == [
        ("model", None, b"upstream-heard"),
        ("language", None, b"de"),
        ("file", "a.wav", AUDIO),
    ]
    assert rewriter.file_start is not None
    assert out[rewriter.file_start : rewriter.file_end] == AUDIO
    assert rewriter.file_bytes == len(AUDIO)


def test_what_clients_may_not_set_is_left_out() -> None:
    body = form(part("base_url", b"http://evil"), part("model", b"m"), part("file", b"x", file_name="a"))

    rewriter, out = rewrite(body)

    assert b"evil" not in out
    assert "base_url" not in rewriter.fields


def test_file_may_come_before_the_model() -> None:
    rewriter, out = rewrite(form(part("file", AUDIO, file_name="a.wav"), part("model", b"m")))

    assert [name for name, _, _ in parts_of(rewriter, out)] == ["file", "model"]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (form(part("file", b"x", file_name="a")), "model", "'model' is missing"),
        (form(part("model", b"m")), "file", "'file' is missing"),
        (form(part("model", b"m"), part("file", b"", file_name="a")), "file", "'file' is empty"),
        (form(part("model", b""), part("file", b"x", file_name="a")), "model", "non-empty string"),
        (form(part("model", b"m"), part("model", b"n")), "model", "twice"),
        (form(part("model", b"m"), part("file", b"x")), "file", "must be a file"),
        (form(part("file", b"x", file_name="a"), part("file", b"x", file_name="b")), "file", "twice"),
        (form(part("", b"x")), None, "must have a name"),
        (form(part("prompt", b"\xff")), "prompt", "UTF-8"),
        (form(part("prompt", b"x" * 70_000)), "prompt", "at most 65536 bytes"),
        (form(*[part(f"f{n}", b"") for n in range(MAX_PARTS + 1)]), None, f"at most {MAX_PARTS} parts"),
        (GOOD[:-6], None, "is incomplete"),
        (b"", None, "is incomplete"),
        (b"no form at all", None, "not a well-formed"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        rewrite(body)

    assert caught.value.param == param


def test_refused_model_ends_the_reading_at_once() -> None:
    def refuse(name: str) -> str:
        raise ModelNotFound(f"no {name}", param="model")

    rewriter = FormRewriter(b"b", refuse)

    with pytest.raises(ModelNotFound):
        rewriter.feed(part("model", b"m") + b"--b\r\n")


@pytest.mark.parametrize("header", [b"multipart/form-data", b"multipart/form-data; boundary=", b""])
def test_boundary_must_be_named(header: bytes) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        parse_boundary(header)


def headed(*lines: bytes, value: bytes = b"x") -> bytes:
    """Return a part with headers as they are given."""
    return b"--b\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + value + b"\r\n"


def disposed(parameters: bytes) -> bytes:
    return headed(b"Content-Disposition: form-data; " + parameters)


def typed(kind: bytes) -> bytes:
    return headed(b'Content-Disposition: form-data; name="other"; filename="a"', b"Content-Type: " + kind)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(disposed(b'name=x\\; filename="; name=model; y="'), id="backslash in a bare name"),
        pytest.param(disposed(b'name="x\\"; filename="; name=model; y="'), id="backslash in a name"),
        pytest.param(disposed(b'name="a\\"b"'), id="quote in a name"),
        pytest.param(disposed(b'name="a%22b"'), id="percent in a name"),
        pytest.param(disposed(b'name="a;b"'), id="semicolon in a name"),
        pytest.param(disposed(b'name="a b"'), id="space in a name"),
        pytest.param(disposed(b'name="mod\xc3\xa9l"'), id="name beyond ASCII"),
        pytest.param(disposed(b'name="x"; name="model"'), id="two names"),
        pytest.param(disposed(b'name="x"; NAME="model"'), id="two names in other letters"),
        pytest.param(disposed(b"name=\"x\"; name*=utf-8''model"), id="extended name"),
        pytest.param(disposed(b'name="x"; filename="a"; filename="b"'), id="two file names"),
        pytest.param(disposed(b'name="x"; filename=""'), id="file without a name"),
        pytest.param(disposed(b'name="x"; filename=" "'), id="file with a blank name"),
        pytest.param(disposed(b'name="model"; filename=""'), id="model as a file without a name"),
        pytest.param(disposed(b'name="model"; filename="a"'), id="model as a file"),
        pytest.param(disposed(b'name="api_key"; filename="a"'), id="dropped field as a file"),
        pytest.param(disposed(b'name="Model"'), id="model in other letters"),
        pytest.param(disposed(b'name="model[]"'), id="model in a list"),
        pytest.param(disposed(b'name="model[0][a]"'), id="model in an object"),
        pytest.param(disposed(b'name="API_Base"'), id="dropped field in other letters"),
        pytest.param(disposed(b'name="api.base"'), id="dropped field with a dot"),
        pytest.param(disposed(b'name="extra-body"'), id="dropped field with a hyphen"),
        pytest.param(disposed(b'name="File"; filename="a"'), id="file in other letters"),
        pytest.param(disposed(b'name="STREAM"'), id="stream in other letters"),
        pytest.param(disposed(b'name="stream"') * 2, id="stream twice"),
        pytest.param(disposed(b'name="x" y'), id="what is no parameter"),
        pytest.param(disposed(b'name="x'), id="open quotes"),
        pytest.param(disposed(b'name="x\ny"'), id="line feed in a name"),
        pytest.param(disposed(b'name="x"; filename="a\nb"'), id="line feed in a file name"),
        pytest.param(disposed(b'name="x"; filename="a\x00b"'), id="null in a file name"),
        pytest.param(headed(b"Content-Disposition: attachment; name=x"), id="another disposition"),
        pytest.param(headed(b"Content-Type: text/plain"), id="no disposition"),
        pytest.param(headed(*[b"Content-Disposition: form-data; name=x"] * 2), id="two dispositions"),
        pytest.param(
            headed(b"Content-Disposition: form-data; name=x", b"Content-Transfer-Encoding: base64"), id="encoded"
        ),
        pytest.param(typed(b"audio/wav\nX: y"), id="line feed in a content type"),
        pytest.param(typed(b"audio/wav\x00"), id="null in a content type"),
        pytest.param(typed(b"audio/\x0bwav"), id="vertical tab in a content type"),
        pytest.param(typed(b"audio/w\xffav"), id="0xff in a content type"),
        pytest.param(typed(b'audio/wav; name="a\\"; b="'), id="backslash in a content type"),
        pytest.param(typed(b"audio"), id="half a content type"),
        pytest.param(typed(b"multipart/mixed; boundary=c"), id="form within the form"),
        pytest.param(typed(b"message/rfc822"), id="message within the form"),
    ],
)
def test_part_that_readers_could_take_for_another_is_refused(odd: bytes) -> None:
    for parts in ([odd, GOOD_PARTS], [GOOD_PARTS, odd]):
        with pytest.raises(InvalidRequest):
            rewrite(form(*parts))


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b'"speech.wav"', "speech.wav"),
        (b"speech.wav", "speech.wav"),
        ('"Grüße.wav"'.encode(), "Grüße.wav"),
        (b'"C:\\speech.wav"', "C:%5Cspeech.wav"),
        (b'"C:\\\\speech.wav"', "C:%5Cspeech.wav"),
        (b'"a\\"; name=\\"model"', "a%22%3B name=%22model"),
        (b'"a%22b"', "a%22b"),
        ('" a b\u00a0 "'.encode(), "a b"),
    ],
)
def test_file_name_passes_in_a_form_that_all_read_alike(sent: bytes, passed: str) -> None:
    file = headed(b'Content-Disposition: form-data; name="file"; filename=' + sent)

    rewriter, out = rewrite(form(part("model", b"m"), file))

    assert [(name, file_name) for name, file_name, _ in parts_of(rewriter, out)] == [
        ("model", None),
        ("file", passed),
    ]


def test_what_clients_send_is_read() -> None:
    """Spellings of common clients: bare parameters, a final semicolon, lists, an empty content type."""
    body = form(
        headed(b"content-disposition: Form-Data;name=model;", value=b"m"),
        headed(b'Content-Disposition: form-data; name="timestamp_granularities[]"', b"Content-Type: text/plain"),
        headed(b'Content-Disposition: form-data; name="timestamp_granularities[]"', b"Content-Length: 1"),
        headed(b'Content-Disposition: form-data; name="file"; filename="a"; size=1', b"Content-Type:"),
        headed(
            b'Content-Disposition: form-data; name="other"; filename="a"',
            b'Content-Type: audio/x-m4a; codecs="mp4a.40.2, x"; q=1',
            b"Content-Transfer-Encoding: binary",
        ),
    )

    rewriter, out = rewrite(body)

    assert [name for name, _, _ in parts_of(rewriter, out)] == [
        "model",
        "timestamp_granularities[]",
        "timestamp_granularities[]",
        "file",
        "other",
    ]
    assert b"Content-Type: application/octet-stream\r\n" in out
    assert b'Content-Type: audio/x-m4a; codecs="mp4a.40.2, x"; q=1\r\n' in out


@pytest.mark.parametrize("near", [b"\r\n--bx", b"\r\n--b-x", b"\r\n--b\r", b"\r\n--b\rx"])
def test_boundary_within_a_file_ends_the_reading_before_it_costs_much(near: bytes) -> None:
    rewriter = FormRewriter(b"b", lambda name: name)
    rewriter.feed(part("model", b"m") + part("file", b"", file_name="a")[:-2])

    with pytest.raises(InvalidRequest, match="no boundary inside"):
        rewriter.feed(near * (MAX_PARTS + 1))


@pytest.mark.parametrize(
    "header",
    [
        b"multipart/form-data; boundary=b" + b";" * 64_000,
        b"multipart/form-data; boundary=b; boundary=c",
        b'multipart/form-data; boundary="b',
        b"multipart/form-data; boundary=b; x",
    ],
)
def test_content_type_that_is_long_or_not_readable_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_boundary(header)


@pytest.mark.parametrize(
    "body",
    [
        form(part("file", AUDIO, file_name="a.wav")),
        form(part("file", AUDIO, file_name="a.wav"), part("model", b"m")),
        form(part("model", b"m"), part("file", AUDIO, file_name="a.wav")),
    ],
    ids=["no model", "model behind the file", "model before the file"],
)
@given(size=st.integers(1, 300))
@settings(deadline=None)
def test_model_of_the_path_is_written_once_and_first(body: bytes, size: int) -> None:
    rewriter, out = rewrite(body, size, "m")

    assert parts_of(rewriter, out) == [("model", None, b"upstream-m"), ("file", "a.wav", AUDIO)]
    assert rewriter.fields == {"model": "m"}
    assert out[rewriter.file_start : rewriter.file_end] == AUDIO


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([b"n"], "'model' is 'n', but the path names the deployment 'm'"),
        ([b""], "'model' must be a non-empty string"),
        ([b"m", b"m"], "'model' must not be sent twice"),
    ],
)
def test_form_of_a_deployment_names_no_other_model(models: list[bytes], message: str) -> None:
    body = form(*(part("model", model) for model in models), part("file", b"x", file_name="a"))
    with pytest.raises(InvalidRequest, match=message) as refused:
        rewrite(body, deployment="m")

    assert refused.value.param == "model"
