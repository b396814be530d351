"""A typed client of a broker's admin plane: `Client` blocks, `AsyncClient` awaits; both have the same methods."""

from hero_broker.client import methods, models
from hero_broker.client.clients import DEFAULT_URL, AsyncClient, Client
from hero_broker.client.errors import BrokerUnreachable, ClientError, RpcError, UnexpectedResponse
from hero_broker.client.methods import QueryFilter
from hero_broker.client.query import Query

# The names that these had before 0.2, for a release.
answers, questions = models, methods
Filter, Question, UnknownAnswer = QueryFilter, Query, UnexpectedResponse

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "BrokerUnreachable",
    "Client",
    "ClientError",
    "Filter",
    "Query",
    "QueryFilter",
    "Question",
    "RpcError",
    "UnexpectedResponse",
    "UnknownAnswer",
    "answers",
    "methods",
    "models",
    "questions",
]
