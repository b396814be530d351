"""Turns what was observed of a call into its one row in the ledger."""
