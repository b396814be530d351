"""Model name → provider and upstream model: what the settings name, then what the price list knows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from hero_broker.core.calls import CallKind
from hero_broker.core.errors import ModelNotFound
from hero_broker.providers.upstream import Provider

MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Who serves a model, and under which name."""

    model: str
    kind: CallKind | None  # None for a model of the price list, which does not tell: any call may ask for it
    provider: Provider
    upstream_model: str
    aliases: tuple[str, ...] = ()


class PriceList(Protocol):
    """What is known of a provider's models; see `pricing.catalogue`."""

    def knows(self, provider: str, model: str) -> bool:
        """Return whether the provider has this model, and a price for it is known."""
        ...

    def models(self, provider: str) -> Sequence[str]:
        """Return the provider's models."""
        ...


class Routes:
    """The models that are served: under their names, their aliases and `provider/model`."""

    def __init__(self, routes: Iterable[ModelRoute], providers: Iterable[Provider], listed: PriceList) -> None:
        """Take the settings' routes, and the providers whose other models the price list knows."""
        self.named = tuple(routes)
        names: dict[str, ModelRoute] = {}
        for route in self.named:
            for name in (route.model, *route.aliases, f"{route.provider.name}/{route.model}"):
                names.setdefault(name, route)
        self._names: Mapping[str, ModelRoute] = names
        self.providers = tuple(providers)
        self._listed = listed
        self._look_up = lru_cache(maxsize=4096)(self._find_listed)  # bounded: clients may ask for any name

    def find(self, model: str, kind: CallKind) -> ModelRoute:
        """Return who serves `model` for a call of this kind.

        Raises:
            ModelNotFound: no model of that kind has this name.
        """
        route = self.get(model)
        if route is None or route.kind not in (kind, None):
            raise ModelNotFound(
                f"The model {model[:MAX_NAME]!r} does not exist here for calls of the kind {kind}.", param="model"
            )
        return route

    def get(self, model: str) -> ModelRoute | None:
        """Return who serves `model`; None where nobody does."""
        route = self._names.get(model)
        return self._look_up(model) if route is None and len(model) <= MAX_NAME else route

    def listed(self) -> Iterable[ModelRoute]:
        """Yield the models that only the price list knows, each once, under the name that reaches it."""
        seen = set(self._names)
        for provider in self.providers:
            for model in self._listed.models(provider.name):
                if model not in seen:
                    seen.add(model)
                    yield ModelRoute(model, None, provider, model)

    def _find_listed(self, model: str) -> ModelRoute | None:
        owner, _, rest = model.partition("/")
        for provider in self.providers:
            if rest and provider.name == owner and self._listed.knows(owner, rest):
                return ModelRoute(rest, None, provider, rest)
            if self._listed.knows(provider.name, model):
                return ModelRoute(model, None, provider, model)
        return None
