"""The data file alone gives the list that the whole package gives."""

import subprocess
import sys
from pathlib import Path

import pytest

from hero_broker.pricing.genai_data import reader
from hero_broker.pricing.genai_data.reader import data_file, load_package, read_providers, read_release, run_data_file


def test_data_file_has_what_the_package_has() -> None:
    from_file = run_data_file(data_file())

    assert from_file == load_package()
    assert sum(len(provider.models()) for provider in from_file) > 2000
    assert from_file == read_providers()


@pytest.mark.slow
def test_package_and_pydantic_are_not_imported() -> None:
    script = (
        "import sys\n"
        "from hero_broker.pricing.catalogue import Catalogue\n"
        "assert Catalogue().tariff('openai', 'gpt-4o') is not None\n"
        "assert {'genai_prices', 'pydantic'} & sys.modules.keys() == set()\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="missing"),
        pytest.param("from .types import *\n", id="no list"),
        pytest.param("from .types import *\nproviders = [ClauseNew('m')]\n", id="unknown type"),
        pytest.param("from .types import *\nproviders = [ClauseEquals('m')]\n", id="another type"),
        pytest.param("from .types import *\nproviders = [Provider(id='p', models=[1])]\n", id="wrong member"),
        pytest.param("from .lists import *\n", id="another module"),
        pytest.param("providers = [\n", id="no Python"),
    ],
)
def test_file_that_is_different_is_left_to_its_package(
    text: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data.py"
    if text is not None:
        path.write_text(text)

    with caplog.at_level("INFO", reader.__name__):
        providers = read_release(str(path))

    assert providers == load_package()
    assert "the price list takes 12 MB more" in caplog.text


def test_file_without_a_name_is_refused() -> None:
    with pytest.raises(ImportError):
        run_data_file("")
