"""Reads the data file of the package genai-prices with the types of this package."""

import logging
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any

from hero_broker.pricing.genai_data import types
from hero_broker.pricing.genai_data.types import ListedProvider

log = logging.getLogger(__name__)


@cache
def read_providers() -> tuple[ListedProvider, ...]:
    """Return the providers of the installed release, in its order; reads it once."""
    return read_release(data_file())


def read_release(path: str) -> tuple[ListedProvider, ...]:
    """Return the providers of a data file; those of the installed release if the file is missing or is different."""
    try:
        return run_data_file(path)
    except Exception as error:  # whatever a new layout of the file raises: the package itself can read its own file
        log.info("the price list takes 12 MB more: genai-prices has a new layout (%s)", type(error).__name__)
        return load_package()


def data_file() -> str:
    """Return the path of `genai_prices/data.py`, or of its compiled form; finds it without importing the package."""
    package = find_spec("genai_prices")
    places = [] if package is None else package.submodule_search_locations
    found = PathFinder.find_spec("genai_prices.data", places)
    return "" if found is None or found.origin is None else found.origin


def run_data_file(path: str) -> tuple[ListedProvider, ...]:
    """Run a data file as a module of our package, so that its `from .types import *` finds our types.

    It consists of calls of these types. The package that it belongs to is not imported: with pydantic and the texts
    about the models, that would take 12 MB of memory and a tenth of a second at each start.

    Raises:
        Exception: the file is missing, or has another layout.
    """
    spec = spec_from_file_location(f"{__package__}.data", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module: {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(_checked(provider) for provider in module.providers)


def load_package() -> tuple[ListedProvider, ...]:
    """Import genai-prices itself, and convert what it has."""
    # Imported only if its data file cannot be read without it.
    from genai_prices.data_snapshot import get_snapshot

    return tuple(_checked(convert(provider)) for provider in get_snapshot().providers)


def convert(value: object) -> Any:
    """Convert a value of `genai_prices.types`, and all that it has, to the type that has its name in `types`."""
    if isinstance(value, list):
        return [convert(member) for member in value]
    name = type(value).__name__
    if name not in types.__all__:
        return value
    return getattr(types, name)(**{key: convert(member) for key, member in vars(value).items()})


def _checked(provider: object) -> ListedProvider:
    """Return a provider whose models can be decoded.

    Raises:
        Exception: it is something else, or a member has a type that it should not have.
    """
    if not isinstance(provider, ListedProvider):
        raise TypeError(f"{type(provider).__name__} instead of a provider")
    provider.models()
    return provider
