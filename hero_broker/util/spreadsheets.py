"""Escapes CSV cells that a spreadsheet would run as formulas."""

# A spreadsheet runs text that begins like this, and callers choose some of the text. Source: OWASP, "CSV Injection".
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return a value for a CSV file: an apostrophe is put before text that a spreadsheet would run."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
