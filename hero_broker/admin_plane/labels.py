"""The methods `labels.*`: names of addresses and networks."""

from hero_broker.admin_plane import label_files, params, views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.errors import InvalidParams

FAULTS_SHOWN = 10


@method("labels.list", rest="GET /admin/labels", scope="labels:read", offline=True)
async def list_labels(admin: Admin) -> dict[str, object]:
    """Return all labels."""
    result, as_of = await admin.labels.list()
    return {"data": [views.label(label) for label in result], "as_of": as_of}


@method("labels.get", rest="GET /admin/labels/{target:path}", scope="labels:read", offline=True)
async def get_label(admin: Admin, target: str) -> dict[str, object]:
    """Return the label that reports show for an address or a network."""
    result, as_of = await admin.labels.get(params.parse_target(target))
    return {"data": views.label(result), "as_of": as_of}


@method("labels.set", rest="PUT /admin/labels", scope="labels:write", in_query=("target",))
async def set_label(admin: Admin, target: str, label: str) -> dict[str, object]:
    """Name an address or a network; a name that it had is replaced."""
    result, as_of = await admin.labels.set(params.parse_target(target), params.parse_name("label", label))
    return {"data": views.label(result), "as_of": as_of}


@method("labels.set_many", rest="POST /admin/labels", scope="labels:write")
async def set_labels(admin: Admin, csv: str) -> dict[str, object]:
    """Name the addresses and networks of a CSV file, all or none."""
    labels_by_target, faults = label_files.parse(csv)
    if faults:
        more = [f"and {len(faults) - FAULTS_SHOWN:,} more lines"] if len(faults) > FAULTS_SHOWN else []
        raise InvalidParams("csv", "; ".join([*faults[:FAULTS_SHOWN], *more]))
    result, as_of = await admin.labels.set_many(labels_by_target)
    return {"data": views.label_changes(result), "as_of": as_of}


@method("labels.remove", rest="DELETE /admin/labels", scope="labels:write")
async def remove_label(admin: Admin, target: str) -> dict[str, object]:
    """Remove the name of an address or a network."""
    result, as_of = await admin.labels.remove(params.parse_target(target))
    return {"data": views.label(result), "as_of": as_of}
