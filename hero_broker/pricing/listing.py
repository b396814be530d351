"""A price list's entry for a name at a provider: the tariff, and how certain it is that the provider serves it."""

from dataclasses import dataclass
from enum import IntEnum

from hero_broker.pricing.tariff import Tariff


class Certainty(IntEnum):
    """How certain it is, by a list, that a provider serves a name; larger is more certain."""

    # A pattern of the list occurs inside the name. That gives a price if the client names the provider, but proves
    # nothing: the pattern for Claude at Google also occurs in the names that resellers of Claude use.
    INSIDE = 1
    BEGINS = 2  # the start matches, as with dated names; or a provider whose models this one also has lists it
    ALIAS = 3  # the list has exactly this name, in any case, as an alias or for a deprecated model
    NAMED = 4  # it is the provider's own name of a model that it offers


@dataclass(frozen=True, slots=True)
class Listing:
    """A name for which a list has a price."""

    tariff: Tariff
    certainty: Certainty
    # The list has exactly this name, in any case: at the provider, or at one whose models it also has.
    is_exact: bool = False
