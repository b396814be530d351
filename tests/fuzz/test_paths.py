"""A short run of the fuzzer of paths; `python -m tests.fuzz.paths` is the long one."""

from pathlib import Path

from tests.e2e_support import broker
from tests.fuzz.paths import SOCKET_SHARE, TOKEN, Oracle, path_of, run


def test_no_guarded_route_answers_without_a_token(tmp_path: Path) -> None:
    state = tmp_path / "state"
    url = f"sqlite:///{state}/hero-broker.db"
    with broker(state, ADMIN_TOKEN=TOKEN, HERO_BROKER_DATABASE_URL=url) as running:
        found = run(2, until=lambda number: number == 4000, url=running.url)

    assert found.wrong == []
    assert found.counts["over a socket"] > 4000 // SOCKET_SHARE // 2
    kinds = ("of the admin plane", "of calls, models and health", "with a control character", "of no route")
    assert min(found.counts[kind] for kind in kinds) > 100


def test_oracle_knows_that_a_routes_pattern_matches_before_a_final_newline() -> None:
    path = path_of(b"/openapi.json%0a")

    assert path == "/openapi.json\n"
    assert Oracle().route(path) == "/openapi.json"
