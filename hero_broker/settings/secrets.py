"""Recognises values that are not secrets: quoted text, unresolved references, placeholders."""

import re

_QUOTES = "\"'`"
_REFERENCE = re.compile(
    r"\$\{.*\}|\$\(.*\)|\$[a-z_]\w*|%[a-z_]\w*%|\{\{.*\}\}"  # of shells, Windows and templates
    r"|(os\.|process\.)?env(iron)?[:./\[(].*|os\.getenv\(.*|file:.*",  # of other programs, and ours in the wrong place
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"<.*>|.*\.\.\..*|([a-z]+[-_])*[x*]{3,}"
    r"|(.*[-_])?(your|insert|paste)[-_].*|your(api)?(key|token|secret)|.*[-_](key|token|secret)[-_]?here"
    r"|change[-_]?(me|this|it)|placeholder|todo|null|undefined",
    re.IGNORECASE,
)


def why_not_secret(text: str) -> str | None:
    """Return why `text` is not a secret, without quoting `text`; None if it may be a secret."""
    if text and (text[0] in _QUOTES or text[-1] in _QUOTES):
        return "has quotation marks around it"
    if _REFERENCE.fullmatch(text):
        return "is a reference, which is not resolved here"
    if _PLACEHOLDER.fullmatch(text):
        return "is a placeholder"
    return None
