"""The list that a broker was given is there after a restart, or the start fails."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from hero_broker.core.errors import PriceListUnreadable
from hero_broker.pricing import kept_list
from hero_broker.pricing.genai_data.published import UnreadableList
from hero_broker.pricing.kept_list import FILE, KeptList, forget_list, load_list
from tests.pricing.genai_data.publish import provider, publish

CONTENT = publish([provider("openai", m={"input_mtok": 1})])
AT = 1_795_500_000  # 2026-11-24


def keep(state_dir: Path, content: bytes = CONTENT) -> None:
    KeptList.take(content, AT).save(state_dir)


def test_kept_list_is_loaded_with_its_day_and_hash(tmp_path: Path) -> None:
    keep(tmp_path)

    prices = load_list(tmp_path, None, AT)

    assert prices is not None
    assert prices.version == f"of 2026-11-24, SHA-256 {hashlib.sha256(CONTENT).hexdigest()[:12]}"
    assert prices.taken_at == AT
    assert list(prices.models("openai")) == ["m"]


def test_last_list_is_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    keep(tmp_path)
    keep(tmp_path, publish([provider("openai", other={"input_mtok": 1})]))
    last, mode = load_list(tmp_path, None, AT), stat.S_IMODE((tmp_path / FILE).stat().st_mode)
    forget_list(tmp_path)
    forget_list(tmp_path)

    assert last is not None
    assert list(last.models("openai")) == ["other"]
    assert mode == 0o600
    assert load_list(tmp_path, None, AT) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "Input data was truncated", id="empty"),
        pytest.param(b"[]", "Expected `object`", id="another form"),
        pytest.param(None, "it is not a regular file", id="directory"),
    ],
)
def test_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / FILE
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    with pytest.raises(PriceListUnreadable) as caught:
        load_list(tmp_path, None, AT)

    assert str(caught.value).startswith(f"the price list {path} cannot be used: ")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("remove the file to use that of the installed genai-prices")


def test_changed_list_does_not_have_its_hash(tmp_path: Path) -> None:
    keep(tmp_path)
    kept = json.loads((tmp_path / FILE).read_bytes())
    (tmp_path / FILE).write_text(json.dumps({**kept, "content": kept["content"].replace("1", "2")}))

    with pytest.raises(PriceListUnreadable, match="does not have its SHA-256"):
        load_list(tmp_path, None, AT)


def test_list_that_this_version_refuses_is_an_error(tmp_path: Path) -> None:
    keep(tmp_path, b"[]")

    with pytest.raises(PriceListUnreadable, match="no model with a price"):
        load_list(tmp_path, None, AT)


def test_content_must_be_utf_8() -> None:
    with pytest.raises(UnreadableList, match="not UTF-8"):
        KeptList.take(b"\xff", AT)


@pytest.mark.parametrize("is_updated", [False, True])
def test_log_says_at_the_start_which_list_is_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_updated: bool
) -> None:
    keep(tmp_path)
    if is_updated:
        kept = json.loads((tmp_path / FILE).read_bytes())
        (tmp_path / FILE).write_text(json.dumps({**kept, "installed": "0.0.1"}))

    with caplog.at_level("INFO", kept_list.__name__):
        load_list(tmp_path, None, AT)
        assert caplog.text == ""
        load_list(tmp_path, None, AT, is_start=True)

    assert "the list in force is genai-prices of 2026-11-24, SHA-256 " in caplog.text
    assert ("was installed since, and is not in force" in caplog.text) is is_updated


def test_file_of_the_settings_is_read_if_no_list_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "prices.json"
    file.write_bytes(publish([provider("openai", other={"input_mtok": 1})]))

    of_file = load_list(tmp_path, file, AT, is_start=True)
    keep(tmp_path)
    kept = load_list(tmp_path, file, AT)

    assert of_file is not None
    assert kept is not None
    assert (list(of_file.models("openai")), list(kept.models("openai"))) == (["other"], ["m"])
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "prices: the list in force is genai-prices of 2026-11-24"
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param(b"[]", "it has no model with a price", id="no prices"),
        pytest.param(b"\xff", "it is not UTF-8", id="no text"),
        pytest.param(b" " * 10_000_001, "it has more than 10,000,000 bytes", id="long"),
    ],
)
def test_wrong_file_of_the_settings_is_an_error_that_names_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(PriceListUnreadable) as caught:
        load_list(tmp_path, file, AT)

    assert str(caught.value) == f"the price list {file} cannot be used: {reason}; billing.price_list names it"


@pytest.mark.parametrize("is_kept", [False, True])
def test_pipe_is_an_error_that_names_it(tmp_path: Path, is_kept: bool) -> None:
    path = tmp_path / FILE if is_kept else tmp_path / "prices.json"
    os.mkfifo(path)

    with pytest.raises(PriceListUnreadable) as caught:
        load_list(tmp_path, path, AT)

    assert str(caught.value).startswith(f"the price list {path} cannot be used: it is not a regular file; ")


def test_device_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PriceListUnreadable) as caught:
        load_list(tmp_path, Path("/dev/zero"), AT)

    assert str(caught.value).startswith("the price list /dev/zero cannot be used: it is not a regular file; ")


def test_kept_file_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(61_000_000)

    with pytest.raises(PriceListUnreadable, match="it has more than 60,001,000 bytes"):
        load_list(tmp_path, None, AT)
