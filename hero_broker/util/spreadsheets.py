"""Cells that a spreadsheet reads as what they are."""

# A spreadsheet computes what begins like this; a caller may have chosen the text. Source: OWASP, "CSV Injection".
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return a value for a CSV file: texts that a spreadsheet would compute have an apostrophe before them."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
