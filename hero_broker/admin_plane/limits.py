"""The methods `limits.*`: the limits in force, what is used of them, and their changes while the broker runs."""

from collections.abc import Mapping

from hero_broker.admin_plane import params, views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.limits import PlannedCall

DEFAULT_SUBJECTS = 100


@method("limits.list", rest="GET /admin/limits", scope="limits:read")
async def list_limits(admin: Admin) -> dict[str, object]:
    """Return the limits in force, and how often they refused."""
    return {"data": [views.limit(one) for one in admin.limits.limits()]}


@method("limits.status", rest="GET /admin/limits/{name}/status", scope="limits:read")
async def limit_status(
    admin: Admin, name: str, limit: int | None = None, subject: Mapping[str, str | None] | None = None
) -> dict[str, object]:
    """Return what the subjects of a limit have used."""
    state, subjects = await admin.limits.subjects(name, limit or DEFAULT_SUBJECTS, subject or {})
    return {"data": [views.limit_subject(one, state.unit) for one in subjects], "limit": views.limit(state)}


@method("limits.get", rest="GET /admin/limits/{name}", scope="limits:read")
async def get_limit(admin: Admin, name: str) -> dict[str, object]:
    """Return how a limit is defined, and its grants in force."""
    result, as_of = await admin.limit_book.get(name)
    return {"data": views.defined_limit(result), "as_of": as_of}


@method("limits.set", rest="PUT /admin/limits/{name}", scope="limits:write")
async def set_limit(admin: Admin, name: str, definition: Mapping[str, object]) -> dict[str, object]:
    """Set a limit, in place of one of the same name."""
    result, as_of = await admin.limit_book.set(name, definition)
    return {"data": views.defined_limit(result), "as_of": as_of}


@method("limits.remove", rest="DELETE /admin/limits/{name}", scope="limits:write")
async def remove_limit(admin: Admin, name: str) -> dict[str, object]:
    """Remove a limit that was set, and end its grants."""
    result, as_of = await admin.limit_book.remove(name)
    return {"data": views.defined_limit(result), "as_of": as_of}


@method("limits.grant", rest="POST /admin/limits/{name}/grants", scope="limits:write")
async def grant_of_limit(
    admin: Admin,
    name: str,
    amount: float,
    reason: str,
    subject: Mapping[str, str | None] | None = None,
    until: int | None = None,
) -> dict[str, object]:
    """Let a subject of a budget use more than its amount."""
    params.check_window(None, until)
    result, as_of = await admin.limit_book.grant(
        name, subject or {}, params.parse_amount(amount), until, params.parse_name("reason", reason)
    )
    return {"data": views.grant(result), "as_of": as_of}


@method("limits.revoke", rest="DELETE /admin/limits/grants/{grant_id}", scope="limits:write")
async def revoke_grant(admin: Admin, grant_id: int) -> dict[str, object]:
    """End a grant now."""
    result, as_of = await admin.limit_book.revoke(grant_id)
    return {"data": views.grant(result), "as_of": as_of}


@method("limits.explain", rest="GET /admin/limits/explain", scope="limits:read")
async def explain_limits(
    admin: Admin,
    ip: str,
    model: str,
    kind: str | None = None,
    context: str | None = None,
    body_bytes: int | None = None,
    max_output_tokens: int | None = None,
) -> dict[str, object]:
    """Return what limits would do with a call."""
    call = PlannedCall(params.parse_address(ip), model, kind, context, body_bytes or 0, max_output_tokens)
    return {"data": views.explained_admission(admin.explain(call))}
