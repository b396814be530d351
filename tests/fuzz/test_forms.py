"""A short run of the fuzzer, and proof that its readers tell what they are there for."""

import pytest

from tests.fuzz.form_readers import FORM_READERS, JSON_READERS, json_pairs
from tests.fuzz.forms import CHECKS, run

CASES = 1_500


def test_all_readers_see_the_same_in_what_is_sent_on() -> None:
    accepted = dict.fromkeys(CHECKS, 0)
    for case in range(CASES):
        for kind, is_accepted in run(1, case).items():
            accepted[kind] += is_accepted

    assert all(CASES * 0.1 < count < CASES * 0.95 for count in accepted.values())


@pytest.mark.parametrize(
    "disposition",
    [
        pytest.param(b'form-data; name="x\\"; filename="; name=model; y="', id="backslash"),
        pytest.param(b'form-data; name="model"; filename=""', id="file without a name"),
        pytest.param(b'form-data; name="x"; name="model"', id="two names"),
        pytest.param(b'form-data; name="a;name=model"', id="semicolon"),
    ],
)
def test_readers_of_forms_differ_where_the_broker_refuses(disposition: bytes) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--\r\n"

    seen = [reader(b"b", body) for reader in FORM_READERS]

    assert any(fields != seen[0] for fields in seen)


@pytest.mark.parametrize("members", ['"model":"m","Model":"n"', '"model":"m","model":"n"', '"api_\u212aey":"k"'])
def test_readers_of_json_differ_where_the_broker_refuses(members: str) -> None:
    pairs = json_pairs(f"{{{members}}}".encode())

    seen = [(reader(pairs, "model"), reader(pairs, "api_key")) for reader in JSON_READERS]

    assert any(found != seen[0] for found in seen)
