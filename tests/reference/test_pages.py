"""The reference says what the program is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hero_broker
from hero_broker.core import errors as classes
from tests.reference import errors
from tests.reference.generated import files


def test_generated_files_are_what_their_generators_write() -> None:
    stale = [str(path) for path, text in files() if path.read_text(encoding="utf-8") != text]

    assert stale == [], "rewrite them: python -m tests.reference"


def test_tree_of_errors_is_drawn_as_it_is() -> None:
    assert errors.tree() in (classes.__doc__ or "")
    assert (classes.__doc__ or "").count("──") == errors.tree().count("──")


def codes_in_the_program() -> Iterator[str]:
    for path in Path(hero_broker.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code":
                value: ast.expr | None = node.value
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("code", "self.code"):
                value = node.value
            else:
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def test_every_code_of_the_program_is_in_the_reference() -> None:
    codes = set(codes_in_the_program())

    assert {"unreadable_request", "interrupted", "provider_bad_stream"} < codes
    assert [code for code in sorted(codes) if f"`{code}`" not in errors.PAGE.read_text()] == []
