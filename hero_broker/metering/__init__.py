"""From what was seen of a call to its one row in the ledger."""
