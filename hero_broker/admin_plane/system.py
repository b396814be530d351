"""The methods `system.*` and `rpc.discover`: the state, the version and the contract of the broker."""

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method


@method("system.health", rest="GET /admin/health", scope="system:read")
async def health(admin: Admin) -> dict[str, object]:
    """Return the state of the ledger."""
    return dict(admin.health())


@method("system.info", rest="GET /admin/info", scope="system:read")
async def info(admin: Admin) -> dict[str, object]:
    """Return the name and version of the broker."""
    return dict(admin.info())


@method("rpc.discover", rest="GET /openrpc.json", scope="system:read", offline=True)
async def discover(admin: Admin) -> dict[str, object]:
    """Return the contract."""
    return admin.document
