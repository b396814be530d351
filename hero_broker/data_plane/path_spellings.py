"""Other spellings of the paths of calls and models: slips that people make, and the paths that Azure's clients build.

Each spelling leads to one canonical path, which routes, rows and the OpenAPI document have.
"""

from collections.abc import Mapping

from hero_broker.kinds.registry import KIND_BY_PATH

VERSION = "/v1"
MODELS = f"{VERSION}/models"

# What a client puts before a path if its base URL lacks `/v1`, has it twice, or is that of Azure's newer interface.
PREFIXES = ("", f"{VERSION}/v1", f"/openai{VERSION}")


def canonical_path(path: str) -> str | None:
    """Return the canonical path of another spelling; None if `path` is no such spelling."""
    spelling = _SPELLINGS.get(path)
    if spelling is not None:
        return spelling
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/models/"):
            return VERSION + path.removeprefix(prefix)
    return None


def _spellings() -> Mapping[str, str]:
    spellings = {f"{MODELS}/": MODELS}
    for prefix in PREFIXES:
        spellings |= {f"{prefix}/models": MODELS, f"{prefix}/models/": MODELS}
    for path in KIND_BY_PATH:
        if path.startswith(f"{VERSION}/"):
            spellings |= {prefix + path.removeprefix(VERSION): path for prefix in PREFIXES}
        else:
            spellings[VERSION + path] = path  # a client that adds its own version, as Cohere's does
    return spellings


_SPELLINGS = _spellings()

# Those of calls; the spellings of one model's path are not in any list.
CALL_SPELLINGS: Mapping[str, str] = {spelling: path for spelling, path in _SPELLINGS.items() if path in KIND_BY_PATH}
