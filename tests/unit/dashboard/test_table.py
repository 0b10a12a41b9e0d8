"""The table of runs as its address asks for it."""

from __future__ import annotations

import pytest

from components.dashboard.remote import Known
from components.dashboard.runs import Run, Value
from components.dashboard.table import Query, select

RUNS = [
    Run("a:grpo", None, "grpo", "evaluated", data="d1", pass_8=Value(0.5), updated=3),
    Run("a:poly_epo", None, "poly_epo", "evaluated", data="d1", pass_8=Value(0.7), decision="promoted", updated=2),
    Run("b:poly_epo", None, "poly_epo", "training", data="d2", updated=1),
]


def ids(address: dict[str, str]) -> list[str]:
    return [row.run.id for row in select(RUNS, Known("there"), Query.of(address))]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ({}, ["a:grpo", "a:poly_epo", "b:poly_epo"]),
        ({"q": "POLY promoted"}, ["a:poly_epo"]),
        ({"q": "d2"}, ["b:poly_epo"]),
        ({"status": "evaluated"}, ["a:grpo", "a:poly_epo"]),
        ({"arm": "poly_epo", "status": "training"}, ["b:poly_epo"]),
        ({"data": "d1"}, ["a:grpo", "a:poly_epo"]),
        ({"sort": "pass_8"}, ["a:poly_epo", "a:grpo", "b:poly_epo"]),
        ({"sort": "pass_8", "order": "asc"}, ["a:grpo", "a:poly_epo", "b:poly_epo"]),
        ({"sort": "run", "order": "asc"}, ["a:grpo", "a:poly_epo", "b:poly_epo"]),
        ({"sort": "__class__", "page": "-1"}, ["a:grpo", "a:poly_epo", "b:poly_epo"]),
        ({"q": "nothing like it"}, []),
    ],
)
def test_filter_search_and_sort(address: dict[str, str], expected: list[str]) -> None:
    assert ids(address) == expected


def test_an_address_says_only_what_is_not_the_default() -> None:
    query = Query.of({"q": "a b", "page": "3"})
    assert query.address() == "q=a+b&page=3"
    assert query.address(page=1) == "q=a+b"


def test_a_second_click_turns_the_order() -> None:
    assert "order=asc" in Query.of({"sort": "pass_1"}).sorted_by("pass_1")
    assert "order" not in Query.of({"sort": "pass_1"}).sorted_by("pass_8")
    assert Query.of({"sort": "pass_1"}).direction("pass_1") == "descending"


@pytest.mark.parametrize("page", ["0", "x", "9" * 30, "\u0662", ""])
def test_a_malformed_page_is_the_first(page: str) -> None:
    assert Query.of({"page": page}).page == 1
