"""Resolves a model name to the targets that may serve it: by the settings, then by the price list."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Protocol

from hero_broker.core.errors import ModelNotFound
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import KINDS
from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.util.nearest import MAX_SUGGESTIONS, NameIndex, did_you_mean

MAX_NAME = 200  # characters
WHERE_LISTED = "GET /v1/models lists the models."
MAX_CANDIDATES = 8  # nearest names that are looked up, until `MAX_SUGGESTIONS` of them can be called


@dataclass(frozen=True, slots=True)
class Target:
    """Who may answer a call: a provider, the model's name there, and its price."""

    provider: Provider
    upstream_model: str
    tariff: Tariff | None = None  # of this model only, even if others share its upstream model; None: no price is known


@dataclass(frozen=True, slots=True)
class Route:
    """The targets that may serve a model, in the order in which they are tried."""

    model: str
    kind: str | None  # None for a model of the price list, which has no kinds: calls of any kind may use it
    targets: tuple[Target, ...]  # at least one
    aliases: tuple[str, ...] = ()
    max_output_tokens: int | None = None  # that an answer has at most, by the settings; None: not known
    # Cached results of `over`, by wire.
    _over: "dict[str, Route | None]" = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def to(
        cls,
        model: str,
        kind: str | None,
        provider: Provider,
        upstream_model: str,
        aliases: tuple[str, ...] = (),
        tariff: Tariff | None = None,
        max_output_tokens: int | None = None,
    ) -> "Route":
        """Return the route of a model that one target serves."""
        return cls(model, kind, (Target(provider, upstream_model, tariff),), aliases, max_output_tokens)

    def over(self, wire: str) -> "Route | None":
        """Return the route over a wire, to the targets whose providers speak it; None if none does."""
        if wire not in self._over:  # cached, because every call asks
            reached = [(target, target.provider.over(wire)) for target in self.targets]
            targets = tuple(replace(target, provider=provider) for target, provider in reached if provider is not None)
            self._over[wire] = replace(self, targets=targets) if targets else None
        return self._over[wire]

    @property
    def provider(self) -> Provider:
        """The provider of the first target."""
        return self.targets[0].provider

    @property
    def upstream_model(self) -> str:
        """The model's name at the first target."""
        return self.targets[0].upstream_model

    @property
    def tariff(self) -> Tariff | None:
        """The price at the first target."""
        return self.targets[0].tariff


class PricedModels(Protocol):
    """The public prices of providers' models; see `pricing.catalogue`."""

    def find(self, provider: str, model: str) -> Listing | None:
        """Return the listing of a name at a provider; None if there is none."""
        ...

    def models(self, provider: str) -> Sequence[str]:
        """Return the provider's own names of the models that it offers."""
        ...


class Routes:
    """The models that this broker serves now; `replace` makes them others, and calls in flight keep their routes."""

    def __init__(self, routes: Iterable[Route], providers: Iterable[Provider], listed: PricedModels) -> None:
        """Take the routes of the settings, and the providers whose other models are looked up in the price list."""
        self._use(RouteTable(routes, providers, listed))

    def replace(self, others: "Routes") -> None:
        """Serve the models of `others` from now on, such as the same ones at other prices."""
        self._use(others._table)

    def _use(self, table: "RouteTable") -> None:
        self._table = table
        # Returns the route of a model for a call of a kind, by their names; raises ModelNotFound. It is an attribute,
        # because a method that passes it on takes longer than the look-up.
        self.find: Callable[[str, str], Route] = table.find

    @property
    def named(self) -> tuple[Route, ...]:
        """The routes of the settings."""
        return self._table.named

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers whose other models are looked up in the price list."""
        return self._table.providers

    @property
    def every_provider(self) -> tuple[Provider, ...]:
        """The providers in the order of the settings, then those that appear only in routes."""
        return self._table.every_provider

    def get(self, model: str) -> Route | None:
        """Return the route of `model`; None if no provider serves it."""
        return self._table.get(model)

    def unknown_name(self, model: str, kind: str | None = None) -> str:
        """Return the message for a name that no model has, with the nearest names of models for calls of `kind`."""
        return self._table.unknown_name(model, kind)

    def listed(self) -> Iterator[tuple[str, Provider]]:
        """Yield the models that only the price list has, each once: the name by which clients use it, and its provider.

        `get` returns the route of that name.
        """
        return self._table.listed()

    def own_tariff(self, provider: str, upstream_model: str) -> Tariff | None:
        """Return the operator's own price of a provider's model; None if the settings have none.

        The first model of the settings with a price counts.
        """
        targets = (target for route in self.named for target in route.targets)
        return next(
            (
                target.tariff
                for target in targets
                if target.tariff is not None
                and target.tariff.is_override
                and (target.provider.name, target.upstream_model) == (provider, upstream_model)
            ),
            None,
        )

    def every_route(self) -> Iterator[Route]:
        """Yield the routes of the settings, then those of the models that only the price list has."""
        table = self._table
        yield from table.named
        listed = (table.get(name) for name, _ in table.listed())
        yield from (route for route in listed if route is not None)


class RouteTable:
    """The models that are served with one price list, for `Routes`, which documents the methods; it never changes.

    Models of the settings come first: by name and alias, then as `provider/model`. Other names are looked up in the
    price list. There, `provider/model` goes to that provider or to none. Any other name goes to the provider that most
    certainly serves it (`Certainty`), and to the first one of equals.
    """

    def __init__(self, routes: Iterable[Route], providers: Iterable[Provider], listed: PricedModels) -> None:
        self.named = tuple(routes)
        names: dict[str, Route] = {}
        for route in self.named:
            for name in (route.model, *route.aliases):
                names.setdefault(name, route)
        for route in self.named:
            names.setdefault(f"{route.provider.name}/{route.model}", route)
        self._names: Mapping[str, Route] = names
        self.providers = tuple(providers)
        self._every: Mapping[str, Provider] = {
            provider.name: provider for provider in (*self.providers, *(route.provider for route in self.named))
        }
        self._listed = listed
        # Both are bounded, because clients may send any name.
        self._look_up = lru_cache(maxsize=4096)(self._find_listed)
        self.find = lru_cache(maxsize=4096)(self._find)

    @property
    def every_provider(self) -> tuple[Provider, ...]:
        return tuple(self._every.values())

    def _find(self, model: str, kind: str) -> Route:
        """Return the route of `model` for a call of this kind.

        Raises:
            ModelNotFound: no model for calls of that kind has this name, or its provider lacks the kind's wire.
        """
        route, how = self.get(model), KINDS[kind]
        if route is None or route.kind not in (how.of_models, None):
            raise ModelNotFound(self._why_not(model, how, route), param="model")
        reached = route.over(how.wire)
        if reached is None:
            raise ModelNotFound(
                f"The provider {route.provider.name} of the model {model[:MAX_NAME]!r} does not speak the wire "
                f"{how.wire!r}, which calls of kind {kind} need. {WHERE_LISTED}",
                param="model",
            )
        return reached

    def unknown_name(self, model: str, kind: str | None = None) -> str:
        name = f"The model {model[:MAX_NAME]!r} does not exist."
        other = self._named_by.get(model)
        if other is not None:
            hint = f"The provider {other.name} serves it as {f'{other.name}/{model}'!r}."
        else:
            question = did_you_mean([repr(name) for name in self._nearest(model, kind)])
            hint = question[:1].upper() + question[1:]
        return f"{name} {hint} {WHERE_LISTED}" if hint else f"{name} {WHERE_LISTED}"

    def _nearest(self, model: str, kind: str | None) -> list[str]:
        """Return the names most like `model` that can be called, by calls of `kind` if it is given."""
        found = []
        for name in self._name_index.nearest(model, MAX_CANDIDATES):
            route = self.get(name)
            if route is not None and (kind is None or route.kind in (KINDS[kind].of_models, None)):
                found.append(name)
        return found[:MAX_SUGGESTIONS]

    def get(self, model: str) -> Route | None:
        route = self._names.get(model)
        # The price list knows no name with a control character, though its prefixes would match one: PostgreSQL stores
        # no NUL, and the others would reach terminals and spreadsheets.
        if route is not None or len(model) > MAX_NAME or not model.isprintable():
            return route
        return self._look_up(model)

    def listed(self) -> Iterator[tuple[str, Provider]]:
        for provider in self.providers:
            for model in self._listed.models(provider.name):
                name = self._name_of(provider, model)
                if name not in self._names:
                    yield name, provider

    def _why_not(self, model: str, kind: Kind, route: Route | None) -> str:
        """Return why no call of this kind may use the name; `route` is that of the name, if it has one."""
        if route is None:
            return self.unknown_name(model, kind.name)
        message = (
            f"The model {model[:MAX_NAME]!r} exists for calls of kind {route.kind}, not for calls of kind {kind.name}."
        )
        return f"{message} {WHERE_LISTED}"

    @cached_property
    def _name_index(self) -> NameIndex:
        """The names by which clients call models, and the providers' own names of their models."""
        return NameIndex([*(name for route in self.named for name in (route.model, *route.aliases)), *self._named_by])

    @cached_property
    def _named_by(self) -> Mapping[str, Provider]:
        """The providers' own names of their models, each with the first provider that has it."""
        named: dict[str, Provider] = {}
        for provider in self.providers:
            for model in self._listed.models(provider.name):
                named.setdefault(model, provider)
        return named

    def _find_listed(self, name: str) -> Route | None:
        match = self._resolve(name)
        if match is None:
            return None
        provider, model, listing = match
        tariff = None if listing is None else listing.tariff
        return Route.to(self._name_of(provider, model), None, provider, model, (), tariff)

    def _resolve(self, name: str) -> tuple[Provider, str, Listing | None] | None:
        """Return the provider, upstream model and listing of a name that the settings lack.

        Without a listing, the provider reports the costs of its calls.
        """
        owner, _, model = name.partition("/")
        if model and owner in self._every:
            return self._at(self._every[owner], model)
        named_by = self._named_by.get(name)
        best: tuple[Provider, str, Listing] | None = None
        for provider in self.providers if named_by is None else (named_by,):
            listing = self._listed.find(provider.name, name)
            if listing is not None and listing.certainty > (Certainty.INSIDE if best is None else best[2].certainty):
                best = provider, name, listing
        if best is None and model:  # aggregators call a model by its owner and its name
            return next(((provider, name, None) for provider in self.providers if provider.reports_costs), None)
        return best

    def _at(self, provider: Provider, model: str) -> tuple[Provider, str, Listing | None] | None:
        """Resolve `provider/model` at that provider; some providers have models whose names begin with their own."""
        whole = f"{provider.name}/{model}"
        listing = self._listed.find(provider.name, model)
        if listing is None or listing.certainty < Certainty.NAMED:
            as_whole = self._listed.find(provider.name, whole)
            if as_whole is not None and (listing is None or as_whole.certainty is Certainty.NAMED):
                return provider, whole, as_whole
        return None if listing is None and not provider.reports_costs else (provider, model, listing)

    def _name_of(self, provider: Provider, model: str) -> str:
        """Return the name by which clients use a provider's model: its own if that resolves, else `provider/model`."""
        owner, _, rest = model.partition("/")
        if model in self._names:
            resolves = False
        elif rest and owner in self._every:
            match = self._at(provider, rest) if owner == provider.name else None
            resolves = match is not None and match[1] == model
        else:
            named_by = self._named_by.get(model)
            match = self._resolve(model) if named_by is None else None
            resolves = named_by == provider if match is None else match[0] == provider
        return model if resolves else f"{provider.name}/{model}"
