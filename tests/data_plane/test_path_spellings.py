"""Other spellings of a path lead to calls and models, and to nothing else."""

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.path_spellings import CALL_SPELLINGS, canonical_path, check_deployment, deployment_path
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


@pytest.mark.parametrize(
    ("path", "canonical", "model"),
    [
        ("/openai/deployments/m/chat/completions", "/v1/chat/completions", "m"),
        ("/openai/deployments/m/completions", "/v1/completions", "m"),
        ("/openai/deployments/m/embeddings", "/v1/embeddings", "m"),
        ("/openai/deployments/m/audio/speech", "/v1/audio/speech", "m"),
        ("/openai/deployments/m/audio/transcriptions", "/v1/audio/transcriptions", "m"),
        ("/openai/deployments/m/audio/translations", "/v1/audio/translations", "m"),
        ("/openai/deployments/p/m-1.5/chat/completions", "/v1/chat/completions", "p/m-1.5"),  # of p%2Fm-1.5
        ("/openai/deployments/chat/completions/completions", "/v1/completions", "chat/completions"),
    ],
)
def test_path_of_a_deployment_names_a_call_and_a_model(path: str, canonical: str, model: str) -> None:
    assert deployment_path(path) == (canonical, model)
    assert canonical_path(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/",
        "/openai/deployments//completions",
        "/openai/deployments/chat/completions/",
        "/openai/deployments/m",
        "/openai/deployments/m/rpc",
        "/openai/deployments/m/models",
        "/openai/deployments/m/chat/completions/",
        "/openai/deployments/m/extensions",
        "/openai/deployment/m/chat/completions",
        "/v1/openai/deployments/m/chat/completions",
    ],
)
def test_other_path_is_none_of_a_deployment(path: str) -> None:
    assert deployment_path(path) is None


def test_body_names_the_deployment_of_its_path() -> None:
    check_deployment("m", "m")
    with pytest.raises(InvalidRequest, match="'model' is 'n', but the path names the deployment 'm'") as refused:
        check_deployment("n", "m")

    assert refused.value.param == "model"


def test_message_about_a_deployment_repeats_no_long_names() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_deployment("n" * 60_000, "m" * 60_000)

    assert len(refused.value.message) < 600
