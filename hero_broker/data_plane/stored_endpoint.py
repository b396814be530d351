"""The ASGI endpoint of requests about stored responses: each goes to the provider and the key that keep it."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.types import Receive, Scope, Send

from hero_broker.core.calls import Caller
from hero_broker.core.clock import Clock
from hero_broker.core.errors import BrokerError, InvalidRequest, MethodNotAllowed
from hero_broker.data_plane.checks import EarlyCheck
from hero_broker.data_plane.client_call import RequestContext, forwarded_headers
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.look_up import EmptyLookUp
from hero_broker.data_plane.path_spellings import STORED_PARAMETER, VERSION, StoredPath
from hero_broker.data_plane.stored_responses import StoredResponses
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.account_ids import UNSUPPORTED
from hero_broker.kinds.kind import StoredRequest
from hero_broker.kinds.registry import KINDS
from hero_broker.limits.admission import Admission

MAX_PARAMETERS = 32
MAX_NAMED = 100  # characters of a parameter, in a message
_VALUE = re.compile(r"[A-Za-z0-9._~:=+-]{1,128}")
_ARRAY = "[]"  # how clients end the name of a parameter that comes several times


class StoredResponseEndpoint:
    """The ASGI endpoint of `GET`, `DELETE`, `cancel` and `input_items`; `state.stored` has what the path means."""

    def __init__(
        self,
        exchange: Exchange,
        stored: StoredResponses,
        admission: Admission,
        clock: Clock,
        early_checks: Sequence[EarlyCheck] = (),
    ) -> None:
        """Join what a request needs; `early_checks` are as in `DataPlane`."""
        self._exchange = exchange
        self._stored = stored
        self._admission = admission
        self._clock = clock
        self._early_checks = tuple(early_checks)

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Serve one request; its body, if it has one, is not read.

        Raises:
            BrokerError: the request is refused, and nothing has been sent; the edge responds.
        """
        state, method = scope["state"], scope["method"]
        found: StoredPath = state["stored"]
        kind = KINDS[found.kind]
        about = {one.spec.verb.upper(): one for one in kind.stored_requests if one.spec.path == found.path}
        wanted = about.get("GET" if method == "HEAD" else method)
        if wanted is None:
            allowed = {*about, "HEAD"} if "GET" in about else about
            raise MethodNotAllowed(method, scope["path"], ", ".join(sorted(allowed)))
        client: ResponseChannel = state["client"]
        caller: Caller = state["caller"]
        query = _query(scope["query_string"], wanted)
        slot = self._admission.enter(caller)
        try:
            for check in self._early_checks:
                check(caller)
            provider, model = await self._stored.keeper(found.response_id, kind, caller)
            headers = forwarded_headers(scope["headers"], kind.request_headers, kind.request_header_prefixes)
            context = RequestContext(state["request_id"], caller, self._clock.now(), headers)
            path = found.path.removeprefix(VERSION).replace(STORED_PARAMETER, found.response_id)
            verb = wanted.spec.verb.upper()
            look_up = EmptyLookUp(context, kind, verb, path, query, wants_body=method != "HEAD")
            if await self._exchange.empty_look_up(look_up, provider, model, client, slot) and wanted.removes:
                self._stored.remove(found.response_id, caller)
        except BrokerError:
            client.headers = (*client.headers, *self._admission.headers_of_refused(slot))
            raise
        finally:
            slot.end()


def _query(query: bytes, wanted: StoredRequest) -> str:
    """Return the query for the provider, with its "?"; empty if no parameter is forwarded.

    A parameter that is not forwarded for its value is refused, not dropped: a client that asks for the next page, and
    gets the first again, would go on for ever.

    Raises:
        InvalidRequest: there are too many parameters, or one has a value that cannot be forwarded.
    """
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest(f"The query must have at most {MAX_PARAMETERS} parameters.") from error
    for name, value in pairs:
        if name in wanted.refused and value.lower() != "false":
            raise InvalidRequest(
                f"'{name}' is not supported here: only a response in the background can be streamed again.",
                param=name,
                code=UNSUPPORTED,
            )
    kept = [(name, value) for name, value in pairs if _is_known(name, wanted.spec.query_parameters)]
    for name, value in kept:
        if not _VALUE.fullmatch(value):
            raise InvalidRequest(
                f"'{name[:MAX_NAMED]}' must have 1 to 128 letters, digits and characters of '._~:=+-'.",
                param=name.removesuffix(_ARRAY),
            )
    return f"?{urlencode(kept)}" if kept else ""


def _is_known(name: str, parameters: Mapping[str, Mapping[str, object]]) -> bool:
    schema = parameters.get(name.removesuffix(_ARRAY))
    return schema is not None and (not name.endswith(_ARRAY) or schema["type"] == "array")
