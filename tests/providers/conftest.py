"""Runs each test that opens connections to providers both ways: with the fast parts, and with aiohttp alone."""

from functools import partial

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that use `open_upstream` twice."""
    if hasattr(metafunc.module, "open_upstream"):
        metafunc.fixturenames.append("fast_parts")
        metafunc.parametrize("fast_parts", [True, False], ids=["fast", "plain"], indirect=True)


@pytest.fixture
def fast_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module's `open_upstream` open connections with or without the fast parts."""
    monkeypatch.setattr(request.module, "open_upstream", partial(request.module.open_upstream, fast=request.param))
