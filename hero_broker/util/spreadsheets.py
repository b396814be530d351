"""Escapes CSV cells that a spreadsheet would run as formulas, and reads them back."""

BYTE_ORDER_MARK = "\ufeff"  # without it at the beginning of a file, Excel does not read CSV as UTF-8

# A spreadsheet runs text that begins like this, and callers choose some of the text. Source: OWASP, "CSV Injection".
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return a value for a CSV file: an apostrophe is put before text that a spreadsheet would run."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and _is_escaped_or_formula(value):
        return f"'{value}"
    return value


def text_of(cell_text: str) -> str:
    """Return the text for which `cell` returned this one."""
    return cell_text[1:] if cell_text.startswith("'") and _is_escaped_or_formula(cell_text) else cell_text


def _is_escaped_or_formula(text: str) -> bool:
    return text.lstrip("'").startswith(_FORMULA)
