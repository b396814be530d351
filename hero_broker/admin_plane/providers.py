"""The methods `providers.*`: the providers that are configured."""

from hero_broker.admin_plane import views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method


@method("providers.list", rest="GET /admin/providers", scope="providers:read")
async def list_providers(admin: Admin) -> dict[str, object]:
    """Return the providers that are configured, and their health."""
    return {"data": [views.provider(provider) for provider in admin.served.providers()]}
