"""What must hold before a call is sent to a provider. The journal's note, which is the last check, is in `exchange`."""

from typing import Protocol

from hero_broker.core.errors import LedgerUnavailable, ModelNotPriced
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.kinds.typical import is_priced
from hero_broker.providers.routes import Route


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
