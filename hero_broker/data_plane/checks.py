"""What must hold before a call is sent to a provider.

Early checks come before the request's body is read, the others after it. The last check, the journal's note, is in
`exchange`.
"""

from typing import Protocol

from hero_broker.core.calls import Caller
from hero_broker.core.errors import LedgerUnavailable, ModelNotPriced
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.kinds.typical import is_priced
from hero_broker.providers.routes import Route


class EarlyCheck(Protocol):
    """Decides by the caller alone, before the body is read, whether a call may go on; a plain call that does not wait.

    It bounds what a flood costs, so it changes nothing: a call that it lets pass may be refused later.
    """

    def __call__(self, caller: Caller, /) -> None:
        """Return if the call may go on.

        Raises:
            BrokerError: it may not; the error has its status, code and time to retry.
        """
        ...


class Check(Protocol):
    """Decides whether a call may be sent; a plain call that does not wait."""

    def __call__(self, call: ClientCall, route: Route, /) -> None:
        """Return if the call may be sent.

        Raises:
            BrokerError: it may not; the error has its status, code and time to retry.
        """
        ...


class Degradable(Protocol):
    """A ledger that may have lost its database."""

    @property
    def is_degraded(self) -> bool: ...


def price_known(call: ClientCall, route: Route) -> None:
    """Refuse models of which some target has no price for calls of this kind.

    Raises:
        ModelNotPriced: as said.
    """
    if not all(is_priced(target.tariff, call.kind.name) for target in route.targets):
        raise ModelNotPriced(f"The model {route.model!r} has no known price.", param="model")


class LedgerOpen:
    """Refuses calls while the ledger's database does not respond."""

    def __init__(self, ledger: Degradable) -> None:
        self._ledger = ledger

    def __call__(self, _call: ClientCall, _route: Route) -> None:
        """Return if the database responds.

        Raises:
            LedgerUnavailable: it does not.
        """
        if self._ledger.is_degraded:
            raise LedgerUnavailable("The ledger's database does not respond; try again later.")
