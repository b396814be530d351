"""Model name → provider, upstream model and price: what the settings name, then what the price list knows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from hero_broker.core.calls import CallKind
from hero_broker.core.errors import ModelNotFound
from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.upstream import Provider

MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Who serves a model, under which name, and what it costs."""

    model: str
    kind: CallKind | None  # None for a model of the price list, which does not tell: any call may ask for it
    provider: Provider
    upstream_model: str
    aliases: tuple[str, ...] = ()
    tariff: Tariff | None = None  # of this model alone, however many share its upstream model; None = no price known


class PricedModels(Protocol):
    """What is known of a provider's models; see `pricing.catalogue`."""

    def find(self, provider: str, model: str) -> Listing | None:
        """Return what is known of a name at a provider; None where nothing is."""
        ...

    def models(self, provider: str) -> Sequence[str]:
        """Return the provider's own names of the models that it offers."""
        ...


class Routes:
    """The models that are served.

    The settings' models go first: under their names and aliases, then as `provider/model`. Other names are looked up
    in the price list. `provider/model` is that provider's or nobody's. Any other name goes to the provider that is
    surest to serve it (`Certainty`), to the first one where several are.
    """

    def __init__(self, routes: Iterable[ModelRoute], providers: Iterable[Provider], listed: PricedModels) -> None:
        """Take the settings' routes, and the providers whose other models the price list knows."""
        self.named = tuple(routes)
        names: dict[str, ModelRoute] = {}
        for route in self.named:
            for name in (route.model, *route.aliases):
                names.setdefault(name, route)
        for route in self.named:
            names.setdefault(f"{route.provider.name}/{route.model}", route)
        self._names: Mapping[str, ModelRoute] = names
        self.providers = tuple(providers)
        self._every: Mapping[str, Provider] = {
            provider.name: provider for provider in (*self.providers, *(route.provider for route in self.named))
        }
        self._listed = listed
        self._look_up = lru_cache(maxsize=4096)(self._find_listed)  # bounded: clients may ask for any name

    @property
    def every_provider(self) -> tuple[Provider, ...]:
        """Return the providers in the order of the settings, then those that only the routes name."""
        return tuple(self._every.values())

    def find(self, model: str, kind: CallKind) -> ModelRoute:
        """Return who serves `model` for a call of this kind.

        Raises:
            ModelNotFound: no model of that kind has this name.
        """
        route = self.get(model)
        if route is None or route.kind not in (kind, None):
            message = f"The model {model[:MAX_NAME]!r} does not exist here for calls of the kind {kind}."
            other = self._named_by.get(model)
            if route is None and other is not None:
                message += f" The provider {other.name} serves it as {f'{other.name}/{model}'!r}."
            raise ModelNotFound(message, param="model")
        return route

    def get(self, model: str) -> ModelRoute | None:
        """Return who serves `model`; None where nobody does."""
        route = self._names.get(model)
        return self._look_up(model) if route is None and len(model) <= MAX_NAME else route

    def listed(self) -> Iterator[tuple[str, Provider]]:
        """Yield the models that only the price list knows, each once: the name that reaches it, and who serves it.

        `get` returns its route.
        """
        for provider in self.providers:
            for model in self._listed.models(provider.name):
                name = self._name_of(provider, model)
                if name not in self._names:
                    yield name, provider

    @cached_property
    def _named_by(self) -> Mapping[str, Provider]:
        """Each name that a provider gives to a model of its own, with the first provider that does."""
        named: dict[str, Provider] = {}
        for provider in self.providers:
            for model in self._listed.models(provider.name):
                named.setdefault(model, provider)
        return named

    def _find_listed(self, name: str) -> ModelRoute | None:
        found = self._resolve(name)
        if found is None:
            return None
        provider, model, listing = found
        return ModelRoute(self._name_of(provider, model), None, provider, model, (), listing.tariff)

    def _resolve(self, name: str) -> tuple[Provider, str, Listing] | None:
        """Return who serves a name that the settings do not have, its upstream model, and what is listed of that."""
        owner, _, model = name.partition("/")
        if model and owner in self._every:
            return self._at(self._every[owner], model)
        named_by = self._named_by.get(name)
        best: tuple[Provider, str, Listing] | None = None
        for provider in self.providers if named_by is None else (named_by,):
            listing = self._listed.find(provider.name, name)
            if listing is not None and listing.certainty > (Certainty.INSIDE if best is None else best[2].certainty):
                best = provider, name, listing
        return best

    def _at(self, provider: Provider, model: str) -> tuple[Provider, str, Listing] | None:
        """Return what `provider/model` means at that provider, some of whose models begin with its own name."""
        whole = f"{provider.name}/{model}"
        listing = self._listed.find(provider.name, model)
        if listing is None or listing.certainty < Certainty.NAMED:
            as_whole = self._listed.find(provider.name, whole)
            if as_whole is not None and (listing is None or as_whole.certainty is Certainty.NAMED):
                return provider, whole, as_whole
        return None if listing is None else (provider, model, listing)

    def _name_of(self, provider: Provider, model: str) -> str:
        """Return the name under which clients reach a provider's model: its own if they can, else `provider/model`."""
        owner, _, rest = model.partition("/")
        if model in self._names:
            is_reached = False
        elif rest and owner in self._every:
            at = self._at(provider, rest) if owner == provider.name else None
            is_reached = at is not None and at[1] == model
        else:
            named_by = self._named_by.get(model)
            found = self._resolve(model) if named_by is None else None
            is_reached = named_by == provider if found is None else found[0] == provider
        return model if is_reached else f"{provider.name}/{model}"
