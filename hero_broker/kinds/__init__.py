"""The kinds of calls: one module has all that the broker knows of a kind's wire format."""
