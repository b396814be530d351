"""Reads the JSON bodies of calls and encodes them for the provider, with only the necessary changes."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.wide_json import MAX_VALUES, is_wide

# The client never chooses where a request goes, nor with which key.
DROPPED_KEYS = ("api_base", "base_url", "api_key", "api_version", "user_config", "extra_headers", "extra_body")

_DROPPED = frozenset(DROPPED_KEYS)

# JSON types, by their first byte.
STRING, ARRAY, OBJECT = b'"[{'
_TYPE_NAMES = {STRING: "a string", ARRAY: "an array", OBJECT: "an object"}

# Members that are dropped or changed. A provider that ignores case would read another spelling of them.
OWN_KEYS = frozenset((*DROPPED_KEYS, "model", "stream", "stream_options"))

# Clients send bodies with the same few sets of names again and again. The bounds are for clients that do not: the names
# of all cached sets together have at most 4 MiB.
CACHED_SETS, CACHED_NAMES, CACHED_BYTES = 256, 32, 16 * 1024

MAX_DIGITS = 18  # of a count that are read; more are no plausible count

# To copy a shorter body takes less time than to see whether it must be copied.
COPIED_BYTES = 16 * 1024

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class MemberNames(msgspec.Struct, frozen=True):
    """What is known of a body by the names of its members."""

    own: frozenset[str] = frozenset()  # those in `OWN_KEYS`
    has_dropped: bool = False  # some are in `DROPPED_KEYS`
    frame_bytes: int = 0  # of a body without spaces and escapes, less its values; fewer if names are not in ASCII


class JsonBody(msgspec.Struct, frozen=True):
    """A request's members, all undecoded except `model`."""

    members: Mapping[str, msgspec.Raw]
    model: str
    names: MemberNames = MemberNames()
    as_sent: bytes = b""  # the client's bytes

    def require(self, name: str, *types: int) -> msgspec.Raw:
        """Return a member, undecoded, that has one of these JSON types.

        Raises:
            InvalidRequest: the member is missing or has another type.
        """
        raw = self.members.get(name)
        if raw is None:
            raise InvalidRequest(f"'{name}' is missing.", param=name)
        if memoryview(raw)[0] not in types:
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

    def count(self, name: str) -> int:
        """Return a member that is an integer of at least 0.

        Raises:
            InvalidRequest: the member is missing, or something else.
        """
        raw = self.members.get(name)
        if raw is None:
            raise InvalidRequest(f"'{name}' is missing.", param=name)
        if not bytes(raw).isdigit():
            raise InvalidRequest(f"'{name}' must be an integer of at least 0.", param=name)
        return int(bytes(raw)[:MAX_DIGITS])

    def boolean(self, name: str) -> bool:
        """Return a member that is a boolean; false if it is null or missing.

        Raises:
            InvalidRequest: the member has another type.
        """
        raw = self.members.get(name)
        if raw is None:
            return False
        value = bytes(raw)
        if value not in (b"true", b"false", b"null"):
            raise InvalidRequest(f"'{name}' must be true or false.", param=name)
        return value == b"true"

    def check_values(self, name: str) -> None:
        """Check that a member has at most `MAX_VALUES` values: to decode more of them would hold up other calls.

        Raises:
            InvalidRequest: it has more.
        """
        if is_wide(bytes(self.members.get(name, b""))):
            raise InvalidRequest(f"'{name}' must have at most {MAX_VALUES:,} values.", param=name)

    def json_object(self, name: str) -> dict[str, object]:
        """Return a member that is an object; empty if it is null or missing.

        Raises:
            InvalidRequest: the member has another type or too many values, or a number in it is out of range.
        """
        raw = self.members.get(name)
        if raw is None:
            return {}
        self.check_values(name)
        try:
            value: object = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:  # a number out of range
            raise InvalidRequest(f"'{name}' must be an object of valid JSON.", param=name) from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequest(f"'{name}' must be an object.", param=name)
        return value

    def encode(self, *, model: str, **changes: object) -> bytes:
        """Return the body for the provider, with this model and `changes`, and without the `DROPPED_KEYS`.

        It is without spaces between members. If the client's is so too and nothing changes, a long one is not copied.
        """
        if len(self.as_sent) > COPIED_BYTES and model == self.model and not changes and self._is_as_encoded():
            return self.as_sent
        members: dict[str, object] = {**self.members, "model": model, **changes}
        for key in self.names.own & _DROPPED:
            del members[key]
        return msgspec.json.encode(members)

    def _is_as_encoded(self) -> bool:
        """Return whether encoding all members as they are would give the client's bytes.

        A space, an escape in a name, or a member that comes twice makes the client's body longer than its members.
        """
        raw = self.members.get("model")
        return (
            not self.names.has_dropped
            and len(self.as_sent) == self.names.frame_bytes + sum(map(len, self.members.values()))
            and raw is not None
            and bytes(raw) == b'"%b"' % self.model.encode("utf-8", "replace")
        )


def read_json(body: bytes, default_model: str | None = None) -> JsonBody:
    """Read a request's body; `default_model` is used if it names no model. If that is empty, it need not name one.

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
    elif not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be a non-empty string.", param="model")
    is_short = len(body) <= CACHED_BYTES and len(members) <= CACHED_NAMES
    names = _cached_names(*members) if is_short else _check_names(*members)
    return JsonBody(members, model, names, body)


def _check_names(*names: str) -> MemberNames:
    """Return what is known by these names, which are distinct.

    Raises:
        InvalidRequest: a name differs only in case from another or from one of `OWN_KEYS`.
    """
    folded = {*map(str.casefold, names)}
    own = OWN_KEYS & folded
    if len(folded) != len(names) or not own <= {*names}:
        raise _misspelled(names)
    # Each name has two quotes, a colon, and a comma or a brace behind its value.
    frame_bytes = 1 + sum(len(name) + 4 for name in names)
    return MemberNames(own, not own.isdisjoint(_DROPPED), frame_bytes)


_cached_names = lru_cache(maxsize=CACHED_SETS)(_check_names)


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


def _misspelled(names: Iterable[str]) -> InvalidRequest:
    """Return the error for the first name that differs from another only in case."""
    spellings = {name: name for name in OWN_KEYS}
    for name in names:
        if spellings.setdefault(name.casefold(), name) != name:
            break
    return InvalidRequest(
        f"'{name[:100]}' must not differ from '{spellings[name.casefold()]}' only in case.", param=name
    )
