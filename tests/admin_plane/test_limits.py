"""The methods `limits.*`: money as exact numbers, over RPC and REST alike."""

from tests.admin_plane.test_rpc import call, send


def test_amounts_are_exact_numbers_of_the_unit() -> None:
    status = send("GET", "/admin/limits/machine-month/status").text
    listed = send("GET", "/admin/limits").text

    assert '"used":0.00002597,"held":0.25,"remaining":19.74997403,' in status
    assert '"amount":20,' in status
    assert '"amount":20,' in listed


def test_rpc_and_rest_answer_alike() -> None:
    rest = send("GET", "/admin/limits/machine-month/status", params={"limit": "1"}).json()

    assert rest == call("limits.status", {"name": "machine-month", "limit": 1})["result"]
    assert send("GET", "/admin/limits").json() == call("limits.list")["result"]
