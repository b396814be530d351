"""Files of labels are read whole, and each line with a fault is named."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.label_files import HEADER, parse
from hero_broker.core.labels import MAX_LABEL_CHARACTERS
from hero_broker.util.spreadsheets import cell

EXPECTED = {"10.77.0.11": "Design", "10.77.0.0/24": "Research & more", "unknown": "sockets"}


@pytest.mark.parametrize(
    "text",
    [
        "10.77.0.11,Design\n10.77.0.0/24,Research & more\nunknown,sockets\n",
        "target,label\n10.77.0.11,Design\n10.77.0.0/24,Research & more\nunknown,sockets",
        "\ufeffTarget;Label\r\n10.77.0.11;Design\r\n10.77.0.0/24;Research & more\r\nunknown;sockets\r\n",
        "target\tlabel\n\n10.77.0.11\tDesign\n10.77.0.0/24\tResearch & more\n\nunknown\tsockets\n",
        ' target , label \n::ffff:10.77.0.11 ,  Design\n10.77.0.0/255.255.255.0,"Research & more"\nunknown,sockets,,\n',
        "target,label\r10.77.0.11,Design\r10.77.0.0/24,Research & more\runknown,sockets\r",
    ],
    ids=["plain", "header", "semicolons", "tabs", "spaces", "carriage returns"],
)
def test_files_as_spreadsheets_write_them_are_read(text: str) -> None:
    assert parse(text) == (EXPECTED, [])


def test_label_may_have_a_separator_in_quotes() -> None:
    assert parse('10.0.0.1,"Design, ""new"""\n') == ({"10.0.0.1": 'Design, "new"'}, [])


def test_all_faults_are_named_by_their_lines() -> None:
    lines = [
        "target,label",
        "10.77.0.1/24,Design",  # 2
        "10.77.0.11,Design",
        "nobody,Design",  # 4
        "10.77.0.12",  # 5
        "10.77.0.13,Design,Basel",  # 6
        "10.77.0.14,",  # 7
        f"10.77.0.15,{'a' * (MAX_LABEL_CHARACTERS + 1)}",  # 8
        "10.77.0.16,a\0b",  # 9
        "::ffff:10.77.0.11,Research",  # 10
        "target,label",  # 11
    ]

    _, faults = parse("\n".join(lines))

    form = 'must be an address, a network without host bits such as 192.0.2.0/24 or 2001:db8::/32, or "unknown"'
    assert faults == [
        f"line 2: target '10.77.0.1/24' {form}",
        f"line 4: target 'nobody' {form}",
        "line 5: must be a target and its label, with a separator between them",
        "line 6: must be a target and its label, with a separator between them",
        "line 7: label must have 1 to 100 characters",
        "line 8: label must have 1 to 100 characters",
        "line 9: label must be printable, without spaces at its ends",
        "line 10: target '10.77.0.11' is that of line 3 too",
        f"line 11: target 'target' {form}",
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "target,label\n"])
def test_file_without_labels_is_a_fault(text: str) -> None:
    assert parse(text) == ({}, ["line 1: must be a target and its label: there are none"])


@pytest.mark.parametrize("text", ['10.0.0.1,a\n10.0.0.2,"b\nc\n', '10.0.0.1,a\n10.0.0.2,"b"c\n'])
def test_quotes_that_do_not_end_are_a_fault_of_their_line(text: str) -> None:
    _, faults = parse(text)

    assert [fault.partition(":")[0] for fault in faults] == ["line 2"]


def test_wrong_target_is_shown_short_and_without_control_characters() -> None:
    _, faults = parse(f"\x1b[2J{'a' * 1000},b\n")

    assert "\x1b" not in faults[0]
    assert len(faults[0]) < 250


@given(
    st.dictionaries(
        st.integers(0, 2**32 - 1).map(lambda number: f"{number >> 24}.{number >> 16 & 255}.0.{number & 255}"),
        st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=MAX_LABEL_CHARACTERS),
        min_size=1,
    )
)
def test_what_is_exported_is_read_back(labels: dict[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *((target, cell(label)) for target, label in labels.items())])

    assert parse(text.getvalue()) == (labels, [])


def test_longest_label_is_that_of_the_contract() -> None:
    params = next(method["params"] for method in load_document()["methods"] if method["name"] == "labels.set")

    assert next(one for one in params if one["name"] == "label")["schema"]["maxLength"] == MAX_LABEL_CHARACTERS
