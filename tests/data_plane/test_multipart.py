"""Forms are rewritten for the provider, however they are cut into pieces."""

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.errors import InvalidRequest, ModelNotFound
from hero_broker.data_plane.multipart import MAX_PARTS, FormRewriter, boundary_of

AUDIO = bytes(range(256)) * 3 + b"\r\n--other\r\n"


def part(name: str, value: bytes, *, file_name: str | None = None) -> bytes:
    file = "" if file_name is None else f'; filename="{file_name}"\r\nContent-Type: audio/wav'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


GOOD = form(part("model", b"heard"), part("language", b"de"), part("file", AUDIO, file_name="a.wav"))


def rewrite(body: bytes, size: int = 1 << 20) -> tuple[FormRewriter, bytes]:
    rewriter = FormRewriter(b"b", lambda name: f"upstream-{name}")
    out = b"".join(rewriter.feed(body[at : at + size]) for at in range(0, len(body), size))
    return rewriter, out + rewriter.finish()


def parts_of(rewriter: FormRewriter, out: bytes) -> list[tuple[Any, str | None, Any]]:
    head = f"Content-Type: {rewriter.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + out)
    return [
        (
            found.get_param("name", header="content-disposition"),
            found.get_filename(),
            found.get_payload(decode=True),
        )
        for found in message.iter_parts()
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
    ("body", "param", "told"),
    [
        (form(part("file", b"x", file_name="a")), "model", "'model' is missing"),
        (form(part("model", b"m")), "file", "'file' is missing"),
        (form(part("model", b"m"), part("file", b"", file_name="a")), "file", "'file' is empty"),
        (form(part("model", b""), part("file", b"x", file_name="a")), "model", "not empty"),
        (form(part("model", b"m"), part("model", b"n")), "model", "once"),
        (form(part("model", b"m"), part("file", b"x")), "file", "must be a file"),
        (form(part("file", b"x", file_name="a"), part("file", b"x", file_name="b")), "file", "once"),
        (form(part("", b"x")), None, "must have a name"),
        (form(part("prompt", b"\xff")), "prompt", "UTF-8"),
        (form(part("prompt", b"x" * 70_000)), "prompt", "at most 65536 bytes"),
        (form(*[part(f"f{n}", b"") for n in range(MAX_PARTS + 1)]), None, f"at most {MAX_PARTS} parts"),
        (GOOD[:-6], None, "too early"),
        (b"", None, "too early"),
        (b"no form at all", None, "not a readable"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str | None, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
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
        boundary_of(header)


def test_names_cannot_end_their_quotes_or_lines() -> None:
    body = form(part("model", b"m"), part("file", b"x", file_name='a\\"; evil="\\'))

    rewriter, out = rewrite(body)

    assert b'evil="' not in out.replace(b"%22", b"")
    assert len(parts_of(rewriter, out)) == 2
