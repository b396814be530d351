"""What a price list says of a name at a provider: what it costs, and how sure it is that the provider serves it."""

from dataclasses import dataclass
from enum import IntEnum

from hero_broker.pricing.tariff import Tariff


class Certainty(IntEnum):
    """How sure a list is that a provider serves a name; a larger one is surer."""

    # A pattern of the list occurs inside the name: a price if the provider is named, but no proof. The pattern for
    # Claude at Google also occurs in the names of those who resell Claude.
    INSIDE = 1
    BEGINS = 2  # the name begins as a pattern says, as dated names do; or a provider whose models this one has lists it
    ALIAS = 3  # the list has exactly this name, in any case: another name, or that of a deprecated model
    NAMED = 4  # this is how the provider itself calls a model that it offers


@dataclass(frozen=True, slots=True)
class Listing:
    """A name that a list prices."""

    tariff: Tariff
    certainty: Certainty
