"""The read path: what was billed, by whom, when, and whether the books agree."""
