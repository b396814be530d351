"""Other spellings of a path lead to calls and models, and to nothing else."""

import pytest

from hero_broker.data_plane.path_spellings import CALL_SPELLINGS, canonical_path
from hero_broker.edge.paths import classify_path
from hero_broker.kinds.registry import KIND_BY_PATH


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/rerank", "/v1/rerank"),
        ("/v1/v2/rerank", "/v2/rerank"),
        ("/models", "/v1/models"),
        ("/models/", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/v1/v1/models", "/v1/models"),
        ("/openai/v1/models", "/v1/models"),
        ("/models/fake/fake-chat", "/v1/models/fake/fake-chat"),
        ("/v1/v1/models/fake-chat", "/v1/models/fake-chat"),
        ("/openai/v1/models/fake-chat", "/v1/models/fake-chat"),
    ],
)
def test_spelling_leads_to_its_canonical_path(spelling: str, path: str) -> None:
    assert canonical_path(spelling) == path


@pytest.mark.parametrize("path", KIND_BY_PATH)
def test_every_call_has_other_spellings(path: str) -> None:
    assert path in CALL_SPELLINGS.values()


@pytest.mark.parametrize("path", [*KIND_BY_PATH, "/v1/models", "/v1/models/m"])
def test_canonical_path_is_no_spelling_of_another(path: str) -> None:
    assert canonical_path(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions/",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/v1/v1/v1/chat/completions",
        "/V1/chat/completions",
        "/v2/chat/completions",
        "/usage",
        "/v1/v1/usage",
        "//rpc",
        "/v1/rpc",
        "/v1/v1/rpc",
        "/openai/v1/rpc",
        "/v1/billing/usage",
        "/v1/admin/models",
        "/v1/openapi.json",
        "/v1/health/live",
        "/modelsx",
        "/",
        "",
    ],
)
def test_other_path_is_no_spelling(path: str) -> None:
    assert canonical_path(path) is None


@pytest.mark.parametrize("name", ["../../rpc", "/rpc", "..", "x/../../../billing/usage"])
def test_models_name_never_leads_out_of_the_models(name: str) -> None:
    path = canonical_path(f"/models/{name}")

    assert path == f"/v1/models/{name}"
    assert not classify_path(path).is_guarded


def test_no_spelling_leads_to_the_admin_plane_or_looks_like_it() -> None:
    for spelling, path in CALL_SPELLINGS.items():
        assert not classify_path(spelling).is_guarded
        assert not classify_path(path).is_guarded
