"""The methods `models.*`: the models that are served."""

from asyncio import to_thread

from hero_broker.admin_plane import views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method


@method("models.list", rest="GET /admin/models", scope="models:read")
async def list_models(admin: Admin) -> dict[str, object]:
    """Return the models that are served, with their current prices."""
    return {"data": await to_thread(lambda: [views.model(model) for model in admin.served.models()])}
