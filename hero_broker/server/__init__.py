"""Runs a broker as a process: wiring, listeners, connections and an orderly shutdown."""
