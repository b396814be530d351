"""Clients that misbehave, each fault at full size; `python -m tests.faults.client_faults`."""
