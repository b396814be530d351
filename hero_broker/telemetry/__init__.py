"""Logs: what operators see of a running broker."""
