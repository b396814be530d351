"""Errors in the settings: each fault has its key and the accepted form."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in the settings; never contains a secret."""

    key: str  # as in `models[0].price.input_per_million`, or the flag or variable
    problem: str  # names the accepted form

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


class SettingsError(Exception):
    """The settings cannot be used; lists every fault at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
