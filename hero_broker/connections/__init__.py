"""What a connection may take before, between and after its requests: time, bytes, descriptors."""

from hero_broker.connections.descriptors import most_connections, raise_open_files
from hero_broker.connections.open_connections import Limits, OpenConnections
from hero_broker.connections.protocol import protocol_of

__all__ = ["Limits", "OpenConnections", "most_connections", "protocol_of", "raise_open_files"]
