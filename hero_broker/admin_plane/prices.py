"""The methods `prices.*`: the prices in force."""

from asyncio import to_thread
from dataclasses import asdict

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.errors import NotRecorded


@method("prices.list", rest="GET /admin/prices", scope="prices:read")
async def list_prices(admin: Admin, model: str | None = None) -> dict[str, object]:
    """Return the prices of the models that are served, or of one, with the source of each rate."""
    prices = await to_thread(admin.served.prices, model)
    if prices is None:
        raise NotRecorded("No such model")
    lists = await to_thread(admin.served.price_lists)
    return {"data": [asdict(price) for price in prices], "lists": [asdict(one) for one in lists]}
