"""How providers differ from OpenAI: where their own interface is, and which headers they expect."""

import pytest

from hero_broker.kinds.dialect import COHERE, OPENAI, Dialect, dialect_of

OTHER = Dialect(credential_header="x-api-key", credential_prefix="", headers=(("x-version", "2026-01-01"),))


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://api.openai.com/v1", OPENAI),
        ("https://api.cohere.com/v2", COHERE),
        ("https://api.cohere.ai/compatibility/v1", COHERE),
        ("https://v2.example/v1", OPENAI),
        ("https://provider.example/v2/openai", OPENAI),
        ("", OPENAI),
    ],
)
def test_dialect_follows_from_the_end_of_the_base_url(base_url: str, dialect: Dialect) -> None:
    assert dialect_of(base_url) is dialect


@pytest.mark.parametrize(
    ("dialect", "base_url", "root"),
    [
        (COHERE, "https://api.cohere.com/v2", "https://api.cohere.com"),
        (COHERE, "https://api.cohere.ai/compatibility/v1", "https://api.cohere.ai"),
        (COHERE, "https://api.cohere.ai/v1", None),
        (OPENAI, "https://api.openai.com/v2", None),
    ],
)
def test_own_interface_is_beside_the_shared_one(dialect: Dialect, base_url: str, root: str | None) -> None:
    assert dialect.own_root(base_url) == root


@pytest.mark.parametrize(
    ("dialect", "key", "headers"),
    [
        (OPENAI, "k", {"authorization": "Bearer k"}),
        (OPENAI, None, {}),
        (COHERE, "k", {"authorization": "Bearer k"}),
        (OTHER, "k", {"x-version": "2026-01-01", "x-api-key": "k"}),
        (OTHER, None, {"x-version": "2026-01-01"}),
    ],
)
def test_headers_are_the_providers_own_with_the_key_if_there_is_one(
    dialect: Dialect, key: str | None, headers: dict[str, str]
) -> None:
    assert dialect.headers_with(key) == headers
