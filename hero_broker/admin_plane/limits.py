"""The methods `limits.*`: the limits in force, and what is used of them."""

from hero_broker.admin_plane import views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method

DEFAULT_SUBJECTS = 100


@method("limits.list", rest="GET /admin/limits", scope="limits:read")
async def list_limits(admin: Admin) -> dict[str, object]:
    """Return the limits in force, and how often they refused."""
    return {"data": [views.limit(one) for one in admin.limits.limits()]}


@method("limits.status", rest="GET /admin/limits/{name}/status", scope="limits:read")
async def limit_status(admin: Admin, name: str, limit: int | None = None) -> dict[str, object]:
    """Return what the subjects of a limit have used."""
    state, subjects = admin.limits.subjects(name, limit or DEFAULT_SUBJECTS)
    return {"data": [views.limit_subject(one, state.unit) for one in subjects], "limit": views.limit(state)}
