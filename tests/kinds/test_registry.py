"""A kind of call is in one place: no other module names it."""

import ast
import asyncio
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest

import hero_broker
from hero_broker.kinds.kind import JSON, Kind
from hero_broker.kinds.registry import DEFAULT_KIND, KIND_BY_PATH, KINDS, MODEL_KINDS
from hero_broker.pricing.price import Price
from hero_broker.providers.fake.app import FAKES, fake_provider
from hero_broker.providers.fake.fake_kind import FakeKind
from hero_broker.settings.validators import endpoint_of

ROOT = Path(hero_broker.__file__).parent
REPOSITORY = ROOT.parent
OWN = ("kinds", "providers/fake")
# The other modules that may name a kind, each with its reason.
MAY_NAME = {
    "cli/demo_traffic.py": "the demo streams every second chat",
    "admin_plane/openapi_routes.py": "OpenAPI calls all responses so",
    "server/openapi.py": "OpenAPI calls all responses so",
    "settings/load.py": "a table of the settings has the same name",
    "edge/errors.py": "the wire has the same name, and error events of its own",
    "client/methods.py": "it is generated from the contract, which lists them",
    "store/schema.py": "the table of stored responses has the same name",
}


def names_of_kinds(path: Path) -> set[str]:
    names = {*KINDS, *KIND_BY_PATH, *(fake.model for fake in FAKES)}
    strings = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {value for value in strings if isinstance(value, str) and value in names}


def test_no_other_module_names_a_kind() -> None:
    others = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).as_posix().startswith(OWN)]

    assert {path.relative_to(ROOT).as_posix() for path in others if names_of_kinds(path)} == MAY_NAME.keys()
    assert len(MAY_NAME) <= 7


def test_registry_is_complete_and_names_are_unique() -> None:
    defined = {path.stem for path in (ROOT / "kinds").glob("*.py")}

    assert KINDS.keys() <= defined
    assert sorted(fake.kind for fake in FAKES) == sorted(KINDS)
    assert DEFAULT_KIND == "chat"
    assert len(KIND_BY_PATH) == sum(len(kind.paths) for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_kind_describes_each_of_its_paths_once(kind: Kind) -> None:
    assert [spec.path for spec in kind.specs] == [*kind.paths]
    assert [spec.path for spec in kind.look_up_specs] == [*kind.look_ups]
    assert all(spec.body is not None for spec in (*kind.specs, *kind.look_up_specs))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_example_is_a_request_of_its_kind(kind: Kind) -> None:
    content_type, body = kind.example_body("m")

    assert content_type.startswith("multipart/form-data" if kind.takes_form else JSON)
    if not kind.takes_form:
        assert msgspec.json.decode(body) == {"model": "m", **kind.example}


def enums(value: object) -> Iterator[list[object]]:
    """Yield the values of each `enum` below a JSON value."""
    if isinstance(value, dict):
        yield from (item for name, item in value.items() if name == "enum" and isinstance(item, list))
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from enums(child)


def test_contract_lists_the_kinds_in_the_order_of_the_registry() -> None:
    contract = json.loads((REPOSITORY / "openrpc.json").read_text())
    of_models = contract["components"]["schemas"].pop("Model")
    kinds = [values for values in enums(contract) if DEFAULT_KIND in values]

    assert kinds
    assert all(values == [*KINDS] for values in kinds)
    assert [values for values in enums(of_models) if DEFAULT_KIND in values] == [[*MODEL_KINDS]]


def test_settings_page_lists_the_kinds_in_the_order_of_the_registry() -> None:
    page = (REPOSITORY / "docs" / "reference" / "settings.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith('| `kind` | `"chat"` |'))

    assert re.findall(r'`"(\w+)"`', line.split("|")[3]) == [*MODEL_KINDS]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_guide_has_a_command_for_each_path(kind: Kind) -> None:
    guide = (REPOSITORY / "docs" / "how-to" / "call.md").read_text()

    paths = (*kind.paths, *kind.look_ups)
    assert [path for path in paths if f"http://127.0.0.1:33850{path} " not in guide] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_base_url_that_ends_in_a_path_of_the_kind_is_recognised(kind: Kind) -> None:
    paths = (*kind.paths.values(), *kind.look_ups.values())
    assert [path for path in paths if endpoint_of(f"https://p.example/v1{path}") != path] == []


@pytest.mark.parametrize("kind", KINDS)
def test_kind_has_its_own_tests(kind: str) -> None:
    assert (Path(__file__).parent / f"test_{kind}.py").is_file()


@pytest.mark.parametrize("fake", FAKES, ids=lambda fake: fake.kind)
def test_output_that_is_billed_is_read_from_the_fakes_own_answer(fake: FakeKind) -> None:
    kind = KINDS[fake.kind]
    content_type, body = kind.example_body(fake.model)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(fake_provider())
        async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
            return await client.post(next(iter(kind.paths)), content=body, headers={"content-type": content_type})

    answer = asyncio.run(ask())

    assert answer.status_code == 200
    if kind.writes_tokens(Price(input_per_million=Decimal(1), output_per_million=Decimal(1))):
        assert kind.delivered_text(answer.content)
