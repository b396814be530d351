"""JSON-RPC 2.0 as its specification says it: every example of it, and what it leaves to the edges."""

import json
from typing import Any

import pytest

from tests.admin_plane.test_rpc import HEALTH, HEALTHY, IP, OneCall, call, post, send, unread

AFTER, BEFORE = 1767225601, 1767225600  # the one call of `OneCall`
NO_OBJECT = unread("A request must be an object.")
WRONG_SIZE = unread("A batch must have 1 to 100 members.")


def not_found(identifier: object, hint: str = "rpc.discover describes the methods.") -> dict[str, object]:
    reason = f"No method has this name; {hint}"
    return {
        "jsonrpc": "2.0",
        "error": {"code": -32601, "message": "Method not found", "data": {"reason": reason}},
        "id": identifier,
    }


def parse_error(reason: str) -> dict[str, object]:
    body = {"code": -32700, "message": "Parse error", "data": {"reason": f"The body is not JSON: {reason}."}}
    return {"jsonrpc": "2.0", "error": body, "id": None}


def usage(until: int) -> Any:
    return send("GET", f"/billing/usage/{IP}?until={until}").json()


def response_to(result: object, identifier: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "result": result, "id": identifier}


def request(method: str, params: object = None, **members: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params}) | members)


# The examples of the specification's section 7, in its order; `subtract` is the usage of an address until a time.
EXAMPLES = [
    pytest.param(
        request("billing.usage_for_ip", [IP, None, AFTER], id=1), lambda: response_to(usage(AFTER), 1), id="by position"
    ),
    pytest.param(
        request("billing.usage_for_ip", [IP, None, BEFORE], id=2),
        lambda: response_to(usage(BEFORE), 2),
        id="by position, 2",
    ),
    pytest.param(
        request("billing.usage_for_ip", {"ip": IP, "until": AFTER}, id=3),
        lambda: response_to(usage(AFTER), 3),
        id="by name",
    ),
    pytest.param(
        request("billing.usage_for_ip", {"until": AFTER, "ip": IP}, id=4),
        lambda: response_to(usage(AFTER), 4),
        id="by name, 2",
    ),
    pytest.param(request("billing.usage_for_ip", [1, 2, 3, 4, 5]), lambda: None, id="notification"),
    pytest.param(request("foobar"), lambda: None, id="notification of an unknown method"),
    pytest.param(request("foobar", id="1"), lambda: not_found("1"), id="unknown method"),
    pytest.param(
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        lambda: parse_error("Expecting ',' delimiter at line 1, column 40"),
        id="invalid JSON",
    ),
    pytest.param(
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        lambda: unread("method must be a string."),
        id="invalid request",
    ),
    pytest.param(
        f'[{request("system.health", id="1")}, {{"jsonrpc": "2.0", "method"]',
        lambda: parse_error("Expecting ':' delimiter at line 1, column 87"),
        id="invalid batch",
    ),
    pytest.param("[]", lambda: WRONG_SIZE, id="empty array"),
    pytest.param("[1]", lambda: [NO_OBJECT], id="batch that holds no request"),
    pytest.param("[1,2,3]", lambda: [NO_OBJECT] * 3, id="batch that holds no requests"),
    pytest.param(
        f"""[
            {request("billing.usage_for_ip", [IP, None, AFTER], id="1")},
            {request("billing.usage_for_ip", ["unknown"])},
            {request("billing.usage_for_ip", [IP, None, BEFORE], id="2")},
            {{"foo": "boo"}},
            {request("foo.get", {"name": "myself"}, id="5")},
            {request("system.health", id="9")}
        ]""",
        lambda: [
            response_to(usage(AFTER), "1"),
            response_to(usage(BEFORE), "2"),
            unread('jsonrpc must be "2.0".'),
            not_found("5"),
            response_to(HEALTHY, "9"),
        ],
        id="batch",
    ),
    pytest.param(
        f"[{request('billing.usage_for_ip', ['unknown'])}, {request('foobar', [7])}]",
        lambda: None,
        id="batch of notifications",
    ),
]


@pytest.mark.parametrize(("body", "expected"), EXAMPLES)
def test_examples_of_the_specification_are_answered_as_it_says(body: str, expected: Any) -> None:
    answer = post(body)

    wanted = expected()
    if wanted is None:
        assert (answer.status_code, answer.content) == (204, b"")
    else:
        assert (answer.status_code, answer.json()) == (200, wanted)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("", "it is empty", id="empty"),
        pytest.param(" \n", "it is empty", id="blank"),
        pytest.param(b"\xff", "it is not UTF-8 at byte 1", id="no-utf8"),
        pytest.param(
            HEALTH.replace("health", "h\xe9alth").encode("latin-1"), "it is not UTF-8 at byte 39", id="latin1"
        ),
        pytest.param(
            b'{"jsonrpc": "2.0", "method": "\xed\xa0\x80", "id": 1}',
            "it is not UTF-8 at byte 31",
            id="surrogate-in-utf8",
        ),
        pytest.param(
            b'{"jsonrpc": "2.0", "method": "\xc0\xaf", "id": 1}', "it is not UTF-8 at byte 31", id="overlong-utf8"
        ),
        pytest.param(HEALTH.encode("utf-16"), "it is not UTF-8 at byte 1", id="utf16"),
        pytest.param(HEALTH.encode("utf-16-le"), "at line 1, column ", id="utf16-le"),
        pytest.param(HEALTH.encode("utf-32"), "it is not UTF-8 at byte 1", id="utf32"),
        pytest.param(HEALTH.encode("utf-8-sig"), "it begins with a byte order mark", id="byte-order-mark"),
        pytest.param(HEALTH.replace("1}", "NaN}"), "NaN is not allowed", id="nan"),
        pytest.param(HEALTH.replace("1}", "Infinity}"), "Infinity is not allowed", id="infinity"),
        pytest.param(HEALTH.replace("1}", "-Infinity}"), "-Infinity is not allowed", id="minus-infinity"),
        pytest.param(HEALTH.replace("1}", "1e400}"), "a number is out of range", id="infinite"),
        pytest.param(HEALTH.replace("1}", "-1e400}"), "a number is out of range", id="minus-infinite"),
        pytest.param(HEALTH.replace("1}", '1, "id": 2}'), "a member is given twice", id="duplicate"),
        pytest.param(
            HEALTH.replace("1}", '1, "params": {"a": 1, "a": 1}}'), "a member is given twice", id="duplicate-inside"
        ),
        pytest.param(HEALTH.replace("1}", "1" * 5000 + "}"), "a number is too long", id="long-integer"),
        pytest.param(
            HEALTH.replace("1}", '1, "params": [' + "1" * 5000 + "]}"), "a number is too long", id="long-integer-inside"
        ),
        pytest.param("[" * 100_000, "it is nested too deep", id="deep"),
        pytest.param("[" * 100_000 + "]" * 100_000, "it is nested too deep", id="deep-and-whole"),
        pytest.param(
            HEALTH.replace("1}", '1, "params": ' + '{"a":' * 100_000 + "1" + "}" * 100_001),
            "it is nested too deep",
            id="deep-inside",
        ),
        pytest.param(HEALTH + HEALTH, "Extra data at line 1, column 55", id="two"),
        pytest.param(HEALTH.replace('"', "'"), "at line 1, column ", id="apostrophes"),
        pytest.param(HEALTH.replace("1}", "1,}"), "at line 1, column ", id="comma"),
        pytest.param(
            HEALTH.replace("health", "he\nalth"),
            "Invalid control character at line 1, column 40",
            id="line-break-in-a-text",
        ),
    ],
)
def test_what_is_not_json_is_one_parse_error_that_says_why(body: str | bytes, reason: str) -> None:
    answer = post(body)
    found = answer.json()["error"]["data"]["reason"]

    assert reason in found  # the words of a fault of syntax are Python's, which change
    assert (answer.status_code, answer.json()) == (200, parse_error(found[len("The body is not JSON: ") : -1]))


NO_METHOD, NO_PARAMS = "method must be a string.", "params must be an array or an object."
NO_VERSION, NO_ID = 'jsonrpc must be "2.0".', "id must be a string, a number or null."
NO_REQUESTS = {
    **dict.fromkeys(("1", '"a"', "null", "true"), "A request must be an object."),
    "{}": NO_VERSION,
    '{"method": "system.health", "id": 1}': NO_VERSION,
    '{"jsonrpc": "1.0", "method": "system.health", "id": 1}': NO_VERSION,
    '{"jsonrpc": 2.0, "method": "system.health", "id": 1}': NO_VERSION,
    '{"jsonrpc": "2.0", "id": 1}': NO_METHOD,
    '{"jsonrpc": "2.0", "method": null, "id": 1}': NO_METHOD,
    '{"jsonrpc": "2.0", "Method": "system.health", "id": 1}': NO_METHOD,
    **{
        f'{{"jsonrpc": "2.0", "method": "system.health", "params": {one}, "id": 1}}': NO_PARAMS
        for one in ("null", '"a"', "1", "true")
    },
    '{"jsonrpc": "2.0", "method": "system.health", "params": null}': NO_PARAMS,
    **{
        f'{{"jsonrpc": "2.0", "method": "system.health", "id": {one}}}': NO_ID
        for one in ("true", "false", "[]", "[1]", "{}")
    },
}


@pytest.mark.parametrize(("body", "reason"), NO_REQUESTS.items())
def test_what_is_no_request_is_one_error_that_says_why(body: str, reason: str) -> None:
    answer = post(body)

    assert (answer.status_code, answer.json()) == (200, unread(reason))


def test_members_that_are_no_requests_have_an_error_each() -> None:
    answers = post(f"[{','.join(NO_REQUESTS)}, [], [{HEALTH}]]").json()

    assert answers == [*map(unread, NO_REQUESTS.values()), NO_OBJECT, NO_OBJECT]


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        ("system.helth", "did you mean system.health or system.info?"),
        ("billing.usage_by_ips", "did you mean billing.usage_by_ip, billing.usage_for_ip or billing.usage?"),
        ("nothing like it", "rpc.discover describes the methods."),
        ("system.health" * 1000, "rpc.discover describes the methods."),
        ("\ud800", "rpc.discover describes the methods."),
    ],
    ids=["typo", "several", "none", "long", "no Unicode"],
)
def test_unknown_method_is_answered_with_the_nearest_names(method: str, hint: str) -> None:
    assert call(method) == not_found(1, hint)


@pytest.mark.parametrize(
    ("params", "hint"),
    [({"sice": 1}, "did you mean since? billing.usage_by_ip takes since"), ({"zz": 1}, "billing.usage_by_ip takes")],
)
def test_unknown_parameter_is_answered_with_the_nearest_names(params: dict[str, int], hint: str) -> None:
    assert call("billing.usage_by_ip", params)["error"]["data"]["reason"].startswith(f"is unknown; {hint}")


def test_misspelled_member_of_the_filter_is_suggested_over_rpc_and_under_a_url() -> None:
    reason = call("billing.usage", {"group_by": [], "modle": "x"})["error"]["data"]["reason"]

    assert reason.startswith("is unknown; did you mean model of the filter? billing.usage takes group_by, since")
    assert send("GET", "/billing/report?group_by=&modle=x").json()["error"]["message"] == f"modle: {reason}"


@pytest.mark.parametrize(
    "shown_id",
    ["null", "0", "-1", "1.5", "1.0", "-0.0", "1e3", str(2**64), str(10**30), '""', '"a"', '"\\u0000"', '"\\ud800"'],
)
@pytest.mark.parametrize("method", ["system.health", "foobar", "rpc.foobar"])
def test_id_is_repeated_as_it_was(shown_id: str, method: str) -> None:
    request_text = HEALTH.replace("system.health", method).replace("1}", shown_id + "}")
    answers = [post(request_text).json(), *post(f"[{request_text}]").json()]

    for answer in answers:
        assert json.dumps(answer["id"]) == json.dumps(json.loads(shown_id))
        assert answer.keys() == {"jsonrpc", "id", "result" if method == "system.health" else "error"}


def test_names_count_as_they_are_written() -> None:
    assert call("System.health") == not_found(1, "did you mean system.health?")
    assert call("billing.usage_for_ip", {"IP": IP})["error"]["data"]["param"] == "IP"


def test_other_members_of_a_request_are_not_looked_at() -> None:
    message = json.loads(HEALTH) | {"result": 1, "error": None, "Params": 1, "": {}, "context": [1]}

    assert post(json.dumps(message)).json() == response_to(HEALTHY, 1)


@pytest.mark.parametrize("params", [[], {}])
def test_empty_params_are_none(params: object) -> None:
    assert call("system.health", params) == response_to(HEALTHY, 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["billing.usage_by_ip", "billing.usage"])
def test_deep_values_are_bad_parameters_or_too_deep_for_json(method: str) -> None:
    codes = set()
    for depth in (*range(10, 500, 70), *range(500, 1010, 5)):
        deep = "[" * depth + "]" * depth
        for params in (f"[{deep}, 1]", f"[[{deep}, {deep}]]", f'{{"filter": {{"ip": {deep}}}}}'):
            body = f'{{"jsonrpc": "2.0", "method": "{method}", "params": {params}, "id": 1}}'
            codes.add(post(body).json()["error"]["code"])

    assert codes == {-32602, -32700}


@pytest.mark.parametrize("item", ["{}", '[1,"a"]', '{"a":1}', "1"])
def test_long_list_is_refused_without_comparing_each_with_each(item: str) -> None:
    params = f'{{"group_by": [{",".join([item, chr(34) + "a" + chr(34)] * 50_000)}]}}'

    failure = post(f'{{"jsonrpc": "2.0", "method": "billing.usage", "params": {params}, "id": 1}}').json()["error"]

    assert (failure["code"], failure["data"]["param"]) == (-32602, "group_by")


@pytest.mark.parametrize(("count", "answered"), [(1, True), (100, True), (101, False)])
def test_batch_has_a_limit(count: int, answered: bool) -> None:
    answer = post(f"[{','.join([HEALTH] * count)}]")

    assert answer.status_code == 200
    assert answer.json() == ([response_to(HEALTHY, 1)] * count if answered else WRONG_SIZE)


def test_batch_runs_one_after_another() -> None:
    reports = OneCall()

    answers = post(f"[{','.join([request('billing.usage_by_ip', id=1)] * 20)}]", reports).json()

    assert len(answers) == 20
    assert reports.most_running == 1


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"since": True}, "since", id="bool"),
        pytest.param({"since": "1"}, "since", id="text"),
        pytest.param({"since": -1}, "since", id="negative"),
        pytest.param({"until": 2**53}, "until", id="large"),
        pytest.param({"until": 1e300}, "until", id="large-float"),
        pytest.param({"since": 1.5}, "since", id="fraction"),
        pytest.param({"since": 2, "until": 1}, "since", id="reversed"),
        pytest.param({"limit": 0}, "limit", id="zero-limit"),
        pytest.param({"cursor": "!"}, "cursor", id="cursor"),
        pytest.param({"self": 1}, "self", id="unknown"),
        pytest.param({"\ud800": 1}, "?", id="surrogate"),
        pytest.param([1, 2, 3, None, 5], "params", id="too-many"),
    ],
)
def test_bad_parameter_is_named_with_a_reason(params: object, param: str) -> None:
    failure = call("billing.usage_by_ip", params)["error"]

    assert failure["code"] == -32602
    assert failure["data"]["param"] == param
    assert failure["data"]["reason"]


def test_integral_float_is_an_integer_and_null_is_absent() -> None:
    assert call("billing.usage_by_ip", {"since": 1.0, "until": None, "limit": 1e3})["result"]["totals"]["requests"] == 1
