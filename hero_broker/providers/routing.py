"""Model name → provider, upstream model and price's key; a closed table made at start."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hero_broker.core.calls import CallKind
from hero_broker.core.errors import ModelNotFound
from hero_broker.providers.upstream import Provider


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Who serves a model, and under which name."""

    model: str
    kind: CallKind
    provider: Provider
    upstream_model: str
    aliases: tuple[str, ...] = ()


class Routes:
    """The models that are served: under their names, their aliases and `provider/model`."""

    def __init__(self, routes: Iterable[ModelRoute]) -> None:
        self.all = tuple(routes)
        names: dict[str, ModelRoute] = {}
        for route in self.all:
            for name in (route.model, *route.aliases, f"{route.provider.name}/{route.model}"):
                names.setdefault(name, route)
        self._names: Mapping[str, ModelRoute] = names

    def find(self, model: str, kind: CallKind) -> ModelRoute:
        """Return who serves `model`.

        Raises:
            ModelNotFound: no model of that kind has this name.
        """
        route = self._names.get(model)
        if route is None or route.kind is not kind:
            raise ModelNotFound(
                f"The model {model[:200]!r} does not exist here for calls of the kind {kind}.", param="model"
            )
        return route
