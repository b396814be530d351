"""Hero Broker: an AI gateway that bills every request to the address that made it."""

__version__ = "0.8.0"
