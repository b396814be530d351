"""The methods `prices.*`: the prices in force, and the price list that they come from."""

import base64
import binascii
import zlib
from asyncio import to_thread
from dataclasses import asdict

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.errors import InvalidParams, NotRecorded
from hero_broker.core.inventory import MAX_PRICE_LIST_BYTES

GZIP = 16 + zlib.MAX_WBITS


@method("prices.list", rest="GET /admin/prices", scope="prices:read")
async def list_prices(admin: Admin, model: str | None = None) -> dict[str, object]:
    """Return the prices of the models that are served, or of one, with the source of each rate."""
    prices = await to_thread(admin.served.prices, model)
    if prices is None:
        raise NotRecorded("No such model")
    lists = await to_thread(admin.served.price_lists)
    return {"data": [asdict(price) for price in prices], "lists": [asdict(one) for one in lists]}


@method("prices.refresh", rest="POST /admin/prices/refresh", scope="prices:write")
async def refresh_prices(admin: Admin, price_list: str | None = None, dry_run: bool | None = None) -> dict[str, object]:
    """Put another price list in force: the given one, that of the settings, or the one that is installed now."""
    content = None if price_list is None else await to_thread(_unpack, price_list)
    changes = await admin.refresh_prices(content, bool(dry_run))
    data = {
        "rates_added": sum(model.rates_added for model in changes.models),
        "rates_removed": sum(model.rates_removed for model in changes.models),
        "rates_changed": sum(model.rates_changed for model in changes.models),
        "models_removed": changes.models_removed,
        "moves": [asdict(move) for move in changes.moves],
        "models": [asdict(model) for model in changes.models],
        "lists": [asdict(one) for one in changes.lists],
        "dry_run": bool(dry_run),
    }
    return {"data": data, "as_of": changes.as_of}


def _unpack(packed: str) -> bytes:
    """Return the bytes of a file that was compressed with gzip and encoded in base64.

    Raises:
        InvalidParams: it was not, or it is too long.
    """
    gunzip = zlib.decompressobj(GZIP)
    try:
        content = gunzip.decompress(base64.b64decode("".join(packed.split()), validate=True), MAX_PRICE_LIST_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InvalidParams("price_list", "must be a price list, compressed with gzip, in base64") from error
    if len(content) > MAX_PRICE_LIST_BYTES:
        raise InvalidParams("price_list", f"must have at most {MAX_PRICE_LIST_BYTES:,} bytes before it is compressed")
    if not gunzip.eof or gunzip.unused_data:
        raise InvalidParams("price_list", "must be one whole gzip file in base64")
    return content
