"""The registry has each method once, with a URL of its own and a scope."""

import re
from types import SimpleNamespace
from typing import cast

from starlette.routing import Match

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.method import AdminMethod
from hero_broker.admin_plane.registry import METHODS, SUBJECTS
from hero_broker.admin_plane.rest import http_routes


def test_no_two_methods_share_a_name_or_a_url() -> None:
    written = [one for subject in SUBJECTS for one in vars(subject).values() if isinstance(one, AdminMethod)]

    assert [method.name for method in written] == list(METHODS)
    assert len({(method.rest.verb, method.rest.template) for method in written}) == len(written)


def test_every_url_reaches_its_own_method() -> None:
    routes = http_routes(cast(Admin, SimpleNamespace(document=load_document())))

    for method in METHODS.values():
        scope = {"type": "http", "method": method.rest.verb, "path": re.sub(r"{\w+(:path)?}", "x", method.rest.path)}
        reached = next(route for route in routes if route.matches(scope)[0] is not Match.NONE)
        assert (reached.path, method.rest.verb in (reached.methods or ())) == (method.rest.path, True)


def test_path_without_parameters_is_matched_before_those_with_some() -> None:
    has_parameter = ["{" in route.path for route in http_routes(cast(Admin, SimpleNamespace(document=load_document())))]

    assert has_parameter == sorted(has_parameter)


def test_method_of_a_ledger_without_its_broker_changes_nothing() -> None:
    offline = [method for method in METHODS.values() if method.is_offline]

    assert offline
    assert [method.name for method in offline if not method.scope.endswith(":read")] == []


def test_scope_is_a_subject_and_an_access_that_fits_the_url() -> None:
    for method in METHODS.values():
        assert re.fullmatch(r"[a-z]+:(read|write)", method.scope)
        assert method.scope.endswith(":read") is (method.rest.verb == "GET"), method.name
