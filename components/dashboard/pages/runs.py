"""/runs: the table of runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from components.dashboard.site import Site
from components.dashboard.table import PAGE_SIZE, Query, select

__all__ = ["page"]


def page(site: Site, request: Request) -> Response:
    """The table as the address asks for it."""
    runs, known = site.runs()
    query = Query.of(request.query_params)
    rows = select(runs, known, query)
    first = (query.page - 1) * PAGE_SIZE
    return site.page(
        request,
        "runs.html",
        title="Runs",
        known=known,
        query=query,
        rows=rows[first : first + PAGE_SIZE],
        first=first,
        found=len(rows),
        total=len(runs),
        statuses=sorted({run.status for run in runs}),
        arms=sorted({run.model for run in runs}),
        more=first + PAGE_SIZE < len(rows),
        problems=[(run, problem) for run in runs for problem in run.problems],
    )
