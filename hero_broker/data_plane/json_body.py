"""JSON bodies of calls: read once; only what the broker must change is changed."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.errors import InvalidRequest

# The client never chooses where a request goes, nor with which key.
DROPPED_KEYS = ("api_base", "base_url", "api_key", "api_version", "user_config", "extra_headers", "extra_body")

_DROPPED = frozenset(DROPPED_KEYS)

TEXT, LIST, OBJECT = b'"', b"[", b"{"
_FORMS = {TEXT: "a text", LIST: "a list", OBJECT: "an object"}

# What is dropped or changed. A reader to which letters of both cases are the same would find another one of that name.
OWN_KEYS = frozenset((*DROPPED_KEYS, "model", "stream", "stream_options"))

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonBody(msgspec.Struct, frozen=True):
    """A request's members, undecoded but for those that matter."""

    members: Mapping[str, msgspec.Raw]
    model: str
    own: frozenset[str] = frozenset()  # of the members those of `OWN_KEYS`

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

    def string(self, name: str) -> str:
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

    def boolean(self, name: str) -> bool:
        """Return a member that is true, false, null or missing.

        Raises:
            InvalidRequest: it is something else.
        """
        raw = self.members.get(name)
        value = b"null" if raw is None else bytes(raw)
        if value not in (b"true", b"false", b"null"):
            raise InvalidRequest(f"'{name}' must be true or false.", param=name)
        return value == b"true"

    def json_object(self, name: str) -> dict[str, object]:
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
        members: dict[str, object] = {**self.members, **changes}
        for key in self.own & _DROPPED:
            del members[key]
        return msgspec.json.encode(members)


def read_json(body: bytes) -> JsonBody:
    """Read a request's body.

    Raises:
        InvalidRequest: it is not JSON in UTF-8, no object, has no text as `model`, or has two members, or one of
            `OWN_KEYS`, that differ in case alone.
    """
    try:
        if not body.isascii():
            body.decode()  # a member that is not read may hold any bytes
        members = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The body must be a JSON object in UTF-8.") from error
    try:
        model: object = msgspec.json.decode(members.get("model", b"null"))
    except msgspec.DecodeError as error:
        raise InvalidRequest("The body must be a JSON object in UTF-8.") from error
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be a text that is not empty.", param="model")
    folded = {*map(str.casefold, members)}
    own = OWN_KEYS & folded
    if len(folded) != len(members) or not own <= members.keys():
        raise _misspelled(members)
    return JsonBody(members, model, own)


def _misspelled(members: Mapping[str, object]) -> InvalidRequest:
    """Return what is wrong with the first name that differs from another in case alone."""
    seen = {name: name for name in OWN_KEYS}
    for name in members:
        if seen.setdefault(name.casefold(), name) != name:
            break
    return InvalidRequest(f"'{name[:100]}' must not differ from '{seen[name.casefold()]}' in case alone.", param=name)
