"""Reads the JSON bodies of calls and encodes them for the provider, with only the necessary changes."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.errors import InvalidRequest

# The client never chooses where a request goes, nor with which key.
DROPPED_KEYS = ("api_base", "base_url", "api_key", "api_version", "user_config", "extra_headers", "extra_body")

_DROPPED = frozenset(DROPPED_KEYS)

# JSON types, by their first byte.
STRING, ARRAY, OBJECT = b'"', b"[", b"{"
_TYPE_NAMES = {STRING: "a string", ARRAY: "an array", OBJECT: "an object"}

# Members that are dropped or changed. A provider that ignores case would read another spelling of them.
OWN_KEYS = frozenset((*DROPPED_KEYS, "model", "stream", "stream_options"))

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonBody(msgspec.Struct, frozen=True):
    """A request's members, all undecoded except `model`."""

    members: Mapping[str, msgspec.Raw]
    model: str
    own: frozenset[str] = frozenset()  # the members that are in `OWN_KEYS`

    def require(self, name: str, *types: bytes) -> msgspec.Raw:
        """Return a member, undecoded, that has one of these JSON types.

        Raises:
            InvalidRequest: the member is missing or has another type.
        """
        raw = self.members.get(name)
        if raw is None:
            raise InvalidRequest(f"'{name}' is missing.", param=name)
        if bytes(memoryview(raw)[:1]) not in types:
            accepted = " or ".join(_TYPE_NAMES[type_] for type_ in types)
            raise InvalidRequest(f"'{name}' must be {accepted}.", param=name)
        return raw

    def string(self, name: str) -> str:
        """Return a member that is a non-empty string.

        Raises:
            InvalidRequest: the member is missing, empty or no string.
        """
        value: str = msgspec.json.decode(self.require(name, STRING))  # `read_json` has checked its escapes and UTF-8
        if not value:
            raise InvalidRequest(f"'{name}' must be a non-empty string.", param=name)
        return value

    def boolean(self, name: str) -> bool:
        """Return a member that is a boolean; false if it is null or missing.

        Raises:
            InvalidRequest: the member has another type.
        """
        raw = self.members.get(name)
        value = b"null" if raw is None else bytes(raw)
        if value not in (b"true", b"false", b"null"):
            raise InvalidRequest(f"'{name}' must be true or false.", param=name)
        return value == b"true"

    def json_object(self, name: str) -> dict[str, object]:
        """Return a member that is an object; empty if it is null or missing.

        Raises:
            InvalidRequest: the member has another type, or a number in it is out of range.
        """
        raw = self.members.get(name)
        try:
            value: object = None if raw is None else msgspec.json.decode(raw)
        except msgspec.DecodeError as error:  # a number out of range
            raise InvalidRequest(f"'{name}' must be an object of valid JSON.", param=name) from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequest(f"'{name}' must be an object.", param=name)
        return value

    def encode(self, **changes: object) -> bytes:
        """Return the body for the provider, with `changes` and without the `DROPPED_KEYS`."""
        members: dict[str, object] = {**self.members, **changes}
        for key in self.own & _DROPPED:
            del members[key]
        return msgspec.json.encode(members)


def read_json(body: bytes, default_model: str | None = None) -> JsonBody:
    """Read a request's body; `default_model` is used if it names no model.

    Raises:
        InvalidRequest: the body is no JSON object in UTF-8, `model` is no non-empty string, or a member's name differs
            only in case from another member's or from one of `OWN_KEYS`.
    """
    try:
        if not body.isascii():
            body.decode()  # members that stay undecoded may hold any bytes
        members = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error
    try:
        model: object = msgspec.json.decode(members.get("model", b"null"))
    except msgspec.DecodeError as error:  # an escape that is half a character, or a number out of range
        raise InvalidRequest("'model' must be a non-empty string.", param="model") from error
    if model is None and default_model is not None:
        model = default_model
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be a non-empty string.", param="model")
    folded = {*map(str.casefold, members)}
    own = OWN_KEYS & folded
    if len(folded) != len(members) or not own <= members.keys():
        raise _misspelled(members)
    return JsonBody(members, model, own)


def _malformed(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> InvalidRequest:
    """Return the error for a body that is no JSON object in UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest(f"The body must be in UTF-8; it is not at byte {error.start}.")
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest("The body must be a JSON object.")
    if isinstance(error, RecursionError):
        return InvalidRequest("The body is nested too deeply.")
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason == "Input data was truncated":
        reason = "it breaks off, or an escape in it does"
    return InvalidRequest(f"The body is not valid JSON: {reason}.")


def _misspelled(members: Mapping[str, object]) -> InvalidRequest:
    """Return the error for the first name that differs from another only in case."""
    spellings = {name: name for name in OWN_KEYS}
    for name in members:
        if spellings.setdefault(name.casefold(), name) != name:
            break
    return InvalidRequest(
        f"'{name[:100]}' must not differ from '{spellings[name.casefold()]}' only in case.", param=name
    )
