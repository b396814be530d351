"""`GET /`: what answers here, for a person who opens the address. It says nothing that needs a token."""

import json
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hero_broker.kinds.registry import KIND_BY_PATH

TITLE = "Hero Broker"
SUMMARY = "This is an AI gateway. It bills each request to the address that made it."

OPENAI_BASE, ANTHROPIC_BASE = "/v1", "/"
MODELS, OPENAPI = "/v1/models", "/openapi.json"
HEALTH = ("/health/live", "/health/ready")
DOCS = "docs/how-to/call.md of the program's source"

_QUALITY = re.compile(r"[ \t]*q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
_HTML_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}dt{font-weight:600}"


def http_route() -> Route:
    """Return the HTTP route of the page."""
    lines = (
        ("Base URL of OpenAI's clients", f"this address and {OPENAI_BASE}"),
        ("Base URL of Anthropic's clients", "this address"),
        ("Models", f"GET {MODELS}"),
        ("Calls", f"POST {', '.join(KIND_BY_PATH)}"),
        ("Health", " and ".join(f"GET {path}" for path in HEALTH)),
        ("All routes, for programs", f"GET {OPENAPI}, with an admin token"),
        ("Docs", DOCS),
    )
    described = {
        "name": TITLE,
        "description": SUMMARY,
        "base_url": {"openai": OPENAI_BASE, "anthropic": ANTHROPIC_BASE},
        "models": MODELS,
        "calls": list(KIND_BY_PATH),
        "health": list(HEALTH),
        "openapi": OPENAPI,
        "docs": DOCS,
    }
    text = json.dumps(described, indent=2) + "\n"
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
        return Response(text, media_type="application/json", headers=headers)

    return Route("/", show)


def prefers_html(accept: str) -> bool:
    """Return whether an `Accept` header names HTML, with at least the quality of JSON.

    A client that accepts everything, such as curl, gets JSON.
    """
    qualities: dict[str, float] = {}
    for item in accept.split(","):
        media_type, *parameters = item.split(";")
        quality = next((float(match[1]) for one in parameters if (match := _QUALITY.fullmatch(one))), 1.0)
        qualities[media_type.strip().lower()] = quality
    html = qualities.get("text/html", 0.0)
    return html > 0 and html >= qualities.get("application/json", 0.0)
