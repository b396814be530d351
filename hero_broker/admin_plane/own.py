"""The methods about the caller's own usage; their REST routes serve every address that may call, without a token."""

from hero_broker.admin_plane import views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.admin_plane.params import parse_zone
from hero_broker.core.calls import Caller


@method("billing.me", rest="GET /v1/usage", scope="usage:read", own=True)
async def me(admin: Admin, caller: Caller, tz: str | None = None) -> dict[str, object]:
    """Return what the caller's address used today and this month of a zone, and what is left of its limits."""
    result = await admin.reports.own_usage(caller.ip, parse_zone(tz))
    data = {
        "ip": caller.ip,
        "today": views.window_usage(result.today),
        "month": views.window_usage(result.month),
        "limits": [views.own_limit(one) for one in admin.limits.of_caller(caller.ip)],
    }
    return {"data": data, "as_of": result.as_of}


@method("billing.my_request", rest="GET /v1/usage/{request_id}", scope="requests:read", own=True)
async def my_request(admin: Admin, caller: Caller, request_id: str) -> dict[str, object]:
    """Return one row of the caller's address with how its cost was computed."""
    result = await admin.reports.own_request(caller.ip, request_id.strip().lower())
    return {"data": views.own_explanation(result), "as_of": result.as_of}
