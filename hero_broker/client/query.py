"""Queries: a method of the contract with its parameters. The functions of `methods` build them, a client sends them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Query(Generic[Answer]):
    """One method with its parameters, and the type of its answer."""

    method: str
    answer: type[Answer]
    params: Mapping[str, Any]


def build_query(method: str, answer: type[Answer], **params: object) -> Query[Answer]:
    """Return a query without the parameters that are None."""
    return Query(method, answer, {name: value for name, value in params.items() if value is not None})


class Call(Protocol):
    """Sends a query, and blocks until the result is there."""

    def __call__(self, query: Query[Answer], /) -> Answer:
        """Return the result."""
        ...


class AsyncCall(Protocol):
    """Sends a query, and awaits the result."""

    async def __call__(self, query: Query[Answer], /) -> Answer:
        """Return the result."""
        ...
