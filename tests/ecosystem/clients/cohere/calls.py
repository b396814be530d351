"""Calls of Cohere's Python client; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found"

import json
import sys

import cohere

DOCUMENTS = ["a call", "the bill of a call"]


def rerank_v1() -> object:
    answer = cohere.Client().rerank(
        model="fake-rerank", query="the bill", documents=DOCUMENTS, top_n=1, return_documents=True
    )
    return [(result.index, result.document.text) for result in answer.results]


def rerank_v2() -> object:
    answer = cohere.ClientV2().rerank(model="fake-rerank", query="the bill", documents=DOCUMENTS)
    return {
        "ranked": [result.index for result in answer.results],
        "search_units": answer.meta.billed_units.search_units,
    }


def unknown_model() -> object:
    try:
        cohere.ClientV2().rerank(model="no-such-model", query="the bill", documents=DOCUMENTS)
    except cohere.NotFoundError as error:
        return error.body["error"]["code"]
    raise AssertionError("There is no such model.")


if __name__ == "__main__":
    (asked,) = (call for call in (rerank_v1, rerank_v2, unknown_model) if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
