"""Other spellings of the paths of calls and models: slips that people make, and the paths that Azure's clients build.

Each spelling leads to one canonical path, which routes, rows and the OpenAPI document have.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.records import RESPONSE_ID
from hero_broker.kinds.kind import STORED_ID
from hero_broker.kinds.registry import CALL_PATHS, KIND_BY_PATH, KINDS

VERSION = "/v1"
MODELS = f"{VERSION}/models"

# What a client puts before a path if its base URL lacks `/v1`, has it twice, or is that of Azure's newer interface.
PREFIXES = ("", f"{VERSION}/v1", f"/openai{VERSION}")


# Azure's older interface: the path has the name of the deployment, which stands for the model's.
DEPLOYMENTS = "/openai/deployments/"
STORED_PARAMETER = f"{{{STORED_ID}}}"  # in the path of a stored response
MAX_NAMED = 200  # characters of a model's name, in a message


class StoredPath(NamedTuple):
    """What the path of a stored response means."""

    kind: str
    path: str  # the canonical one, with `{response_id}` in place of the id
    response_id: str


class DeploymentPath(NamedTuple):
    """What a path of Azure's older interface means."""

    path: str  # the canonical one
    model: str


def canonical_path(path: str) -> str | None:
    """Return the canonical path of another spelling; None if `path` is no such spelling."""
    spelling = _SPELLINGS.get(path)
    if spelling is not None:
        return spelling
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/models/"):
            return VERSION + path.removeprefix(prefix)
    return None


def stored_path(path: str) -> StoredPath | None:
    """Return what the path of a stored response means; None if it is no such path, or its id could be no such id."""
    for pattern, kind, canonical in _STORED_PATHS:
        match = pattern.fullmatch(path)
        if match is not None:
            return StoredPath(kind, canonical, match[1])
    return None


def deployment_path(path: str) -> DeploymentPath | None:
    """Return what a path below `DEPLOYMENTS` means; None if it is no path of a call there."""
    if not path.startswith(DEPLOYMENTS):
        return None
    for end, canonical in _DEPLOYMENT_ENDS:
        model = path[len(DEPLOYMENTS) : -len(end)]
        if model and path.endswith(end):
            return DeploymentPath(canonical, model)
    return None


def check_deployment(model: str, deployment: str) -> None:
    """Return if the body of a request names the model that its path names.

    Raises:
        InvalidRequest: it names another one.
    """
    if model != deployment:
        names = f"'model' is {model[:MAX_NAMED]!r}, but the path names the deployment {deployment[:MAX_NAMED]!r}."
        raise InvalidRequest(names, param="model")


def _spellings() -> Mapping[str, str]:
    spellings = {f"{MODELS}/": MODELS}
    for prefix in PREFIXES:
        spellings |= {f"{prefix}/models": MODELS, f"{prefix}/models/": MODELS}
    for path in CALL_PATHS:
        if path.startswith(f"{VERSION}/"):
            spellings |= {prefix + path.removeprefix(VERSION): path for prefix in PREFIXES}
        else:
            spellings[VERSION + path] = path  # a client that adds its own version, as Cohere's does
    return spellings


_SPELLINGS = _spellings()

# Those of calls; the spellings of one model's path are not in any list.
CALL_SPELLINGS: Mapping[str, str] = {spelling: path for spelling, path in _SPELLINGS.items() if path in CALL_PATHS}

_STORED_PATHS = [
    (
        re.compile(
            "|".join((VERSION, *PREFIXES)).join(("(?:", ")"))
            + re.escape(path.removeprefix(VERSION)).replace(re.escape(STORED_PARAMETER), f"({RESPONSE_ID.pattern})")
        ),
        kind.name,
        path,
    )
    for kind in KINDS.values()
    for path in dict.fromkeys(stored.spec.path for stored in kind.stored_requests)
]

# Longer ones first: a chat's path ends as a completion's.
_DEPLOYMENT_ENDS = sorted(
    ((path.removeprefix(VERSION), path) for path in KIND_BY_PATH if path.startswith(f"{VERSION}/")),
    key=lambda end: -len(end[0]),
)
