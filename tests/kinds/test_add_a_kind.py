"""The made-up kind of the contributors' page works: its module, its fake, and its tests."""

import asyncio
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import KINDS
from hero_broker.providers.fake.fake_kind import FakeKind
from tests.kinds.targets import read, reported

PAGE = Path(__file__).parent.parent.parent / "docs" / "contributing" / "add-a-kind.md"
NAMES = ("hero_broker.kinds.translation", "tests.kinds.test_translation", "hero_broker.providers.fake.translation")


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Return the page's modules, which can be imported until the end of the test."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    loaded = {}
    for name, source in zip(NAMES, blocks, strict=True):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)  # noqa: S102 - the page is ours
        loaded[name] = module
    return loaded


def test_tests_of_the_made_up_kind_pass(modules: dict[str, ModuleType]) -> None:
    checks: list[Callable[[], None]] = [
        value for name, value in inspect.getmembers(modules[NAMES[1]]) if name.startswith("test_")
    ]

    assert len(checks) == 3
    for check in checks:
        check()


async def answer(fake: FakeKind, path: str, body: bytes) -> bytes:
    app = Starlette(routes=[Route(path, fake.answer, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://fake") as client:
        return (await client.post(path, content=body)).raise_for_status().content


def test_fake_of_the_made_up_kind_answers_its_example(modules: dict[str, ModuleType]) -> None:
    kind: Kind = modules[NAMES[0]].TRANSLATION
    fake: FakeKind = modules[NAMES[2]].FAKE

    response = asyncio.run(answer(fake, next(iter(kind.paths)), kind.example_body(fake.model)[1]))

    assert (fake.kind, kind.name in KINDS) == (kind.name, False)
    assert read(kind, **kind.example).model == "m"
    assert reported(kind, response) is not None


def test_files_that_the_page_names_are_there() -> None:
    root = PAGE.parent.parent.parent
    text = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    paths = {path for path in re.findall(r"`([\w./-]+\.(?:py|md|toml|json))`", text) if "translation" not in path}
    folders = (root, root / "hero_broker", root / "tests" / "kinds", root / "tests" / "ecosystem")

    assert len(paths) > 15
    assert [path for path in sorted(paths) if not any((folder / path).exists() for folder in folders)] == []
