"""Suggests names of the ledger in place of a misspelled one, if no call matches a filter."""

from collections.abc import Iterator

from hero_broker.cli.backend import Backend
from hero_broker.cli.notices import warn
from hero_broker.client import QueryFilter, methods
from hero_broker.client.methods import Dimension
from hero_broker.util.nearest import NameIndex, did_you_mean

# The sums of reports have all names of these, for any window.
SUGGESTED: tuple[Dimension, ...] = ("model", "provider", "label")


def warn_of_misspelling(backend: Backend, filters: QueryFilter) -> None:
    """Say which names of the ledger are most like those of a filter that it has not."""
    for question in _questions(backend, filters):
        warn(question)


def _questions(backend: Backend, filters: QueryFilter) -> Iterator[str]:
    for dimension in SUGGESTED:
        name = filters.get(dimension)
        if not isinstance(name, str) or not name:
            continue
        groups = backend.call(methods.usage([dimension])).data
        names = [known for group in groups if (known := group.group[dimension]) is not None]
        if dimension == "label":
            names.extend(item.label for item in backend.call(methods.list_labels()).data)
        if name in names:
            continue
        question = did_you_mean(NameIndex(names).nearest(name))
        yield f"The ledger has no {dimension} of this name{f'; {question}' if question else '.'}"
