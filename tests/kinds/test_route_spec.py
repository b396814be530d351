"""Descriptions of routes: what a body must have, and what a response is known to be."""

from hero_broker.kinds.route_spec import FORM, JSON, MODEL, BodySpec, RouteSpec, json_body, provider_answer


def test_json_body_requires_a_model_first() -> None:
    body = json_body({"input": {"type": "string"}}, "input")

    assert body == BodySpec(JSON, {**MODEL, "input": {"type": "string"}}, ("model", "input"))


def test_of_a_response_only_json_has_a_known_shape() -> None:
    assert provider_answer(JSON, "audio/*") == {JSON: {"type": "object"}, "audio/*": {}}


def test_route_with_a_body_is_a_post() -> None:
    assert RouteSpec("/v1/x", "x", "Do x", {}, BodySpec(FORM, {}, ())).verb == "post"
    assert RouteSpec("/v1/x", "x", "Show x", {}).verb == "get"
