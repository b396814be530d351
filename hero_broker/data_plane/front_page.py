"""`GET /`: what answers here, for a person who opens the address. It says nothing that needs a token."""

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hero_broker.kinds.registry import KIND_BY_PATH

TITLE = "Hero Broker"
SUMMARY = "This is an AI gateway. It bills each request to the address that made it."

# What a reader may look for, and where it is. `{calls}` stands for the paths of all calls.
LINES: Sequence[tuple[str, str]] = (
    ("Base URL of OpenAI's clients", "this address and /v1"),
    ("Models", "GET /v1/models"),
    ("Calls", "POST {calls}"),
    ("Health", "GET /health/live and GET /health/ready"),
    ("All routes, for programs", "GET /openapi.json, with an admin token"),
    ("Docs", "docs/how-to/call.md of the program's source"),
)

_QUALITY = re.compile(r"[ \t]*q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
_HTML_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}dt{font-weight:600}"


def http_route() -> Route:
    """Return the HTTP route of the page."""
    lines = [(name, place.format(calls=", ".join(KIND_BY_PATH))) for name, place in LINES]
    text = "".join((f"{TITLE}\n{SUMMARY}\n\n", *(f"{name}: {place}\n" for name, place in lines)))
    items = "".join(f"<dt>{name}</dt><dd>{place}</dd>" for name, place in lines)
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{TITLE}</h1><p>{SUMMARY}</p><dl>{items}</dl></body></html>\n"
    )

    async def show(request: Request) -> Response:
        headers = {"vary": "Accept"}
        if prefers_html(", ".join(request.headers.getlist("accept"))):
            return Response(html, media_type="text/html", headers=headers | _HTML_HEADERS)
        return Response(text, media_type="text/plain", headers=headers)

    return Route("/", show)


def prefers_html(accept: str) -> bool:
    """Return whether an `Accept` header names HTML, with at least the quality of plain text.

    A client that accepts everything, such as curl, gets plain text.
    """
    qualities: dict[str, float] = {}
    for item in accept.split(","):
        media_type, *parameters = item.split(";")
        quality = next((float(match[1]) for one in parameters if (match := _QUALITY.fullmatch(one))), 1.0)
        qualities[media_type.strip().lower()] = quality
    html = qualities.get("text/html", 0.0)
    return html > 0 and html >= qualities.get("text/plain", 0.0)
