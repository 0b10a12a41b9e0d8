"""The table of runs as its address asks for it: search, filter, sort, page. Every state of it can be passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from components.dashboard.remote import Known
from components.dashboard.runs import Run

__all__ = ["PAGE_SIZE", "Query", "Row", "select"]

PAGE_SIZE = 50
_SORTS = ("run", "status", "data", "pass_1", "pass_8", "pass_32", "distinct", "promotion", "updated")


@dataclass(frozen=True)
class Row:
    """A run with its place in the registry: aliases, else the gate's verdict."""

    run: Run
    promotion: str


@dataclass(frozen=True)
class Query:
    """What an address asks for; what it names wrongly counts as not asked.

    Attributes:
        search: words that must all occur in id, model, digests, status or promotion.
        status, arm, data: exact status and model, beginning of the data's digest.
        sort: column; descending: largest first.
        page: 1, 2, ...
    """

    search: str = ""
    status: str = ""
    arm: str = ""
    data: str = ""
    sort: str = "updated"
    descending: bool = True
    page: int = 1

    @staticmethod
    def of(values: Mapping[str, str]) -> Query:
        """The query of an address."""
        sort = values.get("sort", "updated")
        page = values.get("page", "1")
        return Query(
            search=values.get("q", "").strip()[:200],
            status=values.get("status", ""),
            arm=values.get("arm", ""),
            data=values.get("data", ""),
            sort=sort if sort in _SORTS else "updated",
            descending=values.get("order", "desc") != "asc",
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 and int(page) > 0 else 1,
        )

    def address(self, **changes: Any) -> str:
        """The query string of this query with ``changes``; what is at its default is left out."""
        asked = {
            "q": self.search,
            "status": self.status,
            "arm": self.arm,
            "data": self.data,
            "sort": self.sort,
            "order": "desc" if self.descending else "asc",
            "page": self.page,
        } | changes
        defaults = {"q": "", "status": "", "arm": "", "data": "", "sort": "updated", "order": "desc", "page": 1}
        return urlencode({key: value for key, value in asked.items() if value != defaults[key]})

    def sorted_by(self, column: str) -> str:
        """The query string for a click on the head of ``column``."""
        turned = "asc" if self.sort == column and self.descending else "desc"
        return self.address(sort=column, order=turned, page=1)

    def direction(self, column: str) -> str:
        """What a screen reader is told about the order of ``column``."""
        if self.sort != column:
            return "none"
        return "descending" if self.descending else "ascending"


def select(runs: Sequence[Run], known: Known, query: Query) -> list[Row]:
    """The rows the query asks for, all pages."""
    rows = [Row(run, ", ".join(known.aliases(run.policy)) or run.decision) for run in runs]
    rows = [row for row in rows if _asked(row, query)]
    # Rows without a value come last in either direction.
    with_value = [row for row in rows if _key(row, query.sort) is not None]
    without = [row for row in rows if _key(row, query.sort) is None]
    with_value.sort(key=lambda row: row.run.id)
    with_value.sort(key=lambda row: _key(row, query.sort), reverse=query.descending)
    return with_value + without


def _asked(row: Row, query: Query) -> bool:
    run = row.run
    if query.status not in ("", run.status) or query.arm not in ("", run.model) or not run.data.startswith(query.data):
        return False
    text = " ".join((run.id, run.model, run.data, run.policy, run.status, row.promotion)).lower()
    return all(word in text for word in query.search.lower().split())


def _key(row: Row, column: str) -> Any:
    if column == "run":
        return row.run.id
    if column == "promotion":
        return row.promotion or None
    value = getattr(row.run, column)
    if column in ("status", "data", "updated"):
        return value or None
    return None if value is None else value.value
