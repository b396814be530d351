"""A typed client of a broker's admin plane: `Client` blocks, `AsyncClient` waits, both ask the same questions."""

from hero_broker.client import methods, models
from hero_broker.client.clients import DEFAULT_URL, AsyncClient, Client
from hero_broker.client.errors import BrokerUnreachable, ClientError, RpcError, UnknownAnswer
from hero_broker.client.methods import Filter, Question

answers, questions = models, methods  # the names that they had before 0.2, for a release

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "BrokerUnreachable",
    "Client",
    "ClientError",
    "Filter",
    "Question",
    "RpcError",
    "UnknownAnswer",
    "answers",
    "methods",
    "models",
    "questions",
]
