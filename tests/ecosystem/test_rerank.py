"""Rerank by Cohere's Python client and by LangChain's: every call is one row of one search unit."""

from tests.ecosystem.place import Place, Row

SEARCH = Row("rerank", "fake-rerank", 2_000_000, {"search_units": 1})


def test_cohere_v1_is_one_row(place: Place) -> None:
    assert place.call("cohere", "rerank_v1") == [[1, "the bill of a call"]]
    assert place.rows() == [SEARCH]


def test_cohere_v2_is_one_row(place: Place) -> None:
    assert place.call("cohere", "rerank_v2") == {"ranked": [1, 0], "search_units": 1}
    assert place.rows() == [SEARCH]


def test_unknown_model_is_coheres_own_error_without_a_row(place: Place) -> None:
    assert place.call("cohere", "unknown_model") == "model_not_found"
    assert place.rows() == []


def test_langchain_is_one_row(place: Place) -> None:
    assert place.call("langchain", "rerank") == [1, 0]
    assert place.rows() == [SEARCH]
