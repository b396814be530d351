"""JSON bodies of calls: read once; only what the broker must change is changed."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.errors import InvalidRequest

# The client never chooses where a request goes, nor with which key.
DROPPED_KEYS = ("api_base", "base_url", "api_key", "api_version", "user_config", "extra_headers", "extra_body")

TEXT, LIST, OBJECT = b'"', b"[", b"{"
_FORMS = {TEXT: "a text", LIST: "a list", OBJECT: "an object"}

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonBody(msgspec.Struct, frozen=True):
    """A request's members, undecoded but for those that matter."""

    members: Mapping[str, msgspec.Raw]
    model: str

    def require(self, name: str, *forms: bytes) -> msgspec.Raw:
        """Return a member, undecoded, whose JSON starts with one of `forms`.

        Raises:
            InvalidRequest: it is missing, or something else.
        """
        raw = self.members.get(name)
        if raw is None:
            raise InvalidRequest(f"'{name}' is missing.", param=name)
        if bytes(memoryview(raw)[:1]) not in forms:
            accepted = " or ".join(_FORMS[form] for form in forms)
            raise InvalidRequest(f"'{name}' must be {accepted}.", param=name)
        return raw

    def text(self, name: str) -> str:
        """Return a member that is a text and not empty.

        Raises:
            InvalidRequest: it is something else.
        """
        try:
            value: object = msgspec.json.decode(self.require(name, TEXT))
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"'{name}' must be a text in UTF-8.", param=name) from error
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"'{name}' must be a text that is not empty.", param=name)
        return value

    def flag(self, name: str) -> bool:
        """Return a member that is true, false, null or missing.

        Raises:
            InvalidRequest: it is something else.
        """
        raw = self.members.get(name)
        value = b"null" if raw is None else bytes(raw)
        if value not in (b"true", b"false", b"null"):
            raise InvalidRequest(f"'{name}' must be true or false.", param=name)
        return value == b"true"

    def mapping(self, name: str) -> dict[str, object]:
        """Return a member that is an object, null or missing.

        Raises:
            InvalidRequest: it is something else.
        """
        raw = self.members.get(name)
        try:
            value: object = None if raw is None else msgspec.json.decode(raw)
        except msgspec.DecodeError as error:  # a number out of range
            raise InvalidRequest(f"'{name}' must be an object of readable JSON.", param=name) from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequest(f"'{name}' must be an object.", param=name)
        return value

    def encode(self, **changes: object) -> bytes:
        """Return the body for the provider, with `changes` and without what clients may not set."""
        members: dict[str, object] = {key: raw for key, raw in self.members.items() if key not in DROPPED_KEYS}
        return msgspec.json.encode(members | changes)


def read_json(body: bytes) -> JsonBody:
    """Read a request's body.

    Raises:
        InvalidRequest: it is not JSON, no object, or has no text as `model`.
    """
    try:
        members = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The body must be a JSON object in UTF-8.") from error
    try:
        model: object = msgspec.json.decode(members.get("model", b"null"))
    except msgspec.DecodeError as error:
        raise InvalidRequest("The body must be a JSON object in UTF-8.") from error
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be a text that is not empty.", param="model")
    return JsonBody(members, model)
