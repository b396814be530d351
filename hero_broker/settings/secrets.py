"""What stands in the place of a secret and is not one: quotes, a reference that nothing resolves, a placeholder."""

import re

_QUOTES = "\"'`"
_REFERENCE = re.compile(
    r"\$\{.*\}|\$\(.*\)|\$[a-z_]\w*|%[a-z_]\w*%|\{\{.*\}\}"  # of shells, Windows and templates
    r"|(os\.|process\.)?env(iron)?[:./\[(].*|os\.getenv\(.*|file:.*",  # of other programs, and ours in a wrong place
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"<.*>|.*\.\.\..*|([a-z]+[-_])*[x*]{3,}"
    r"|(.*[-_])?(your|insert|paste)[-_].*|your(api)?(key|token|secret)|.*[-_](key|token|secret)[-_]?here"
    r"|change[-_]?(me|this|it)|placeholder|todo|null|undefined",
    re.IGNORECASE,
)


def doubt_of(text: str) -> str | None:
    """Return why `text` is not a secret, without quoting it; None if it may be one."""
    if text and (text[0] in _QUOTES or text[-1] in _QUOTES):
        return "has quotation marks around it"
    if _REFERENCE.fullmatch(text):
        return "is a reference that is not resolved here"
    if _PLACEHOLDER.fullmatch(text):
        return "is a placeholder"
    return None
