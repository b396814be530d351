"""No provider key, admin token, prompt, reply or upload is in a log, a file or an answer that it does not belong to."""

from pathlib import Path

from tests.faults import secrets


def test_search_of_logs_files_and_answers_finds_no_secret(tmp_path: Path) -> None:
    search = secrets.run(tmp_path)

    assert search.found == []
    assert search.to_provider == {secrets.KEY, secrets.SECOND_KEY, secrets.PROMPT, secrets.UPLOAD}
    assert search.statuses >= {200, 400, 401, 404, 405, 413, 415, 429, 502, 503}
    assert search.rows > len(secrets.KINDS) + len(secrets.ERRORS)


def test_search_would_find_what_is_there() -> None:
    search = secrets.Search()

    search.look("a log", f"before {secrets.KEY} after".encode(), secrets.NEVER_KEPT)

    assert search.found == [f"{secrets.KEY} in a log"]
