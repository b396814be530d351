"""Text completions, the older form of chats."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import ARRAY, STRING, JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Request
from hero_broker.kinds.route_spec import STREAM, STREAM_OPTIONS, RouteSpec, json_body, provider_answer
from hero_broker.kinds.text_streams import TextStreamKind
from hero_broker.kinds.texts import Reading, member, non_empty, texts_or_ids


class Completion(TextStreamKind):
    """`POST /v1/completions`."""

    name = "completion"
    paths = {"/v1/completions": "/completions"}
    specs = (
        RouteSpec(
            "/v1/completions",
            "createCompletion",
            "Create a text completion",
            provider_answer(JSON, EVENT_STREAM),
            json_body({"prompt": {"type": ["string", "array"]}, **STREAM, **STREAM_OPTIONS}, "prompt"),
        ),
    )
    typical = (("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),)
    example = {"prompt": "a few words"}
    output_bounds = ("max_tokens",)
    output_copies = ("n", "best_of")

    def read(self, body: JsonBody) -> Request:
        """Check `prompt`, `stream` and `stream_options`."""
        return self.text_request(body, len(body.require("prompt", STRING, ARRAY)))

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts and token ids of `prompt`, and `suffix`."""
        prompt = texts_or_ids(member(members, "prompt"))
        return Reading((*prompt.texts, *non_empty([member(members, "suffix")])), prompt.fixed_tokens)


COMPLETION = Completion()
