"""Asks limits about calls that nobody makes, of some model and some size."""

import msgspec

from hero_broker.core.calls import Caller
from hero_broker.core.clock import Clock
from hero_broker.core.errors import InvalidParams, ModelNotFound
from hero_broker.core.limits import ExplainedAdmission, PlannedCall
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.exchange import Exchange
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.kind import Kind, Request
from hero_broker.kinds.registry import DEFAULT_KIND, KINDS
from hero_broker.limits.admission import Admission
from hero_broker.limits.explain import explain
from hero_broker.limits.limit import Dimensions
from hero_broker.providers.routes import Route, Routes


class PlannedCalls:
    """Explains what the limits of a broker would do with calls; nothing is sent, held or noted."""

    def __init__(self, routes: Routes, exchange: Exchange, admission: Admission, clock: Clock) -> None:
        self._routes = routes
        self._exchange = exchange
        self._admission = admission
        self._clock = clock

    def explain(self, planned: PlannedCall) -> ExplainedAdmission:
        """Return which limits match a call now, and what they would do with it.

        Raises:
            InvalidParams: no provider serves the model, or not for calls of the kind.
        """
        kind, route = self._route(planned)
        body = JsonBody({}, planned.model)
        if planned.max_output_tokens is not None and kind.output_bounds:
            bound = msgspec.Raw(b"%d" % planned.max_output_tokens)
            body = JsonBody({kind.output_bounds[0]: bound}, planned.model)
        request = Request(planned.model, planned.body_bytes, body, characters=planned.body_bytes)
        context = RequestContext("", Caller(planned.ip, None, planned.context), self._clock.now())
        call = ClientCall(context, kind, next(iter(kind.paths)), request)
        subject = Dimensions(planned.ip, planned.context, route.model, route.provider.name, kind.name)
        decisions, refused_by = explain(self._admission, subject, self._exchange.may_use(call, route))
        labels = self._admission.labels
        label = None if labels is None else labels.lookup(planned.ip)
        return ExplainedAdmission(route.model, route.provider.name, kind.name, label, tuple(decisions), refused_by)

    def _route(self, planned: PlannedCall) -> tuple[Kind, Route]:
        try:
            name = planned.kind
            if name is None:
                named = self._routes.get(planned.model)
                name = DEFAULT_KIND if named is None or named.kind is None else named.kind
            return KINDS[name], self._routes.find(planned.model, name)
        except ModelNotFound as error:
            raise InvalidParams("model", error.message) from error
