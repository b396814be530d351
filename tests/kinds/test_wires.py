"""Where a provider speaks each wire, and how its key is sent there."""

import pytest

from hero_broker.kinds.dialect import COHERE, OPENAI
from hero_broker.kinds.wires import (
    ANTHROPIC_WIRE,
    OPENAI_WIRE,
    RESPONSES_WIRE,
    WIRES,
    Endpoint,
    default_wires,
    endpoint_of_wire,
)


@pytest.mark.parametrize(
    ("base_url", "wires"),
    [
        ("https://api.anthropic.com/v1", (OPENAI_WIRE, ANTHROPIC_WIRE)),
        ("https://api.anthropic.com", (OPENAI_WIRE, ANTHROPIC_WIRE)),
        ("https://api.openai.com/v1", (OPENAI_WIRE, RESPONSES_WIRE)),
        ("https://eu.api.openai.com/v1", (OPENAI_WIRE, RESPONSES_WIRE)),
        ("https://api.x.ai/v1", (OPENAI_WIRE, RESPONSES_WIRE)),
        ("https://openrouter.ai/api/v1", (OPENAI_WIRE, RESPONSES_WIRE)),
        ("https://api.groq.com/openai/v1", (OPENAI_WIRE, RESPONSES_WIRE)),
        ("https://api.deepseek.com/v1", (OPENAI_WIRE,)),
        ("https://api.anthropic.com.evil.example/v1", (OPENAI_WIRE,)),
    ],
)
def test_wires_follow_from_the_host_of_the_base_url(base_url: str, wires: tuple[str, ...]) -> None:
    assert default_wires(base_url) == wires


@pytest.mark.parametrize("url", ["https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1"])
def test_version_of_anthropics_base_url_may_be_left_out(url: str) -> None:
    endpoint = endpoint_of_wire(ANTHROPIC_WIRE, url)

    assert endpoint.base_url == "https://api.deepseek.com/anthropic/v1"
    assert endpoint.dialect.headers_with("k") == {"x-api-key": "k"}


def test_openais_wire_has_the_dialect_of_its_base_url() -> None:
    assert endpoint_of_wire(OPENAI_WIRE, "https://a.example") == Endpoint("https://a.example", OPENAI)
    assert endpoint_of_wire(OPENAI_WIRE, "https://c.example/v2").dialect is COHERE


@pytest.mark.parametrize(
    ("auth", "header"), [("bearer", {"authorization": "Bearer k"}), ("x-api-key", {"x-api-key": "k"})]
)
@pytest.mark.parametrize("wire", WIRES)
def test_way_of_the_key_can_be_set(wire: str, auth: str, header: dict[str, str]) -> None:
    assert endpoint_of_wire(wire, "https://a.example", auth).dialect.headers_with("k") == header
