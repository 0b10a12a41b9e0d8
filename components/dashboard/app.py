"""The application: addresses, and which page answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from components.dashboard.access import Access, Guard
from components.dashboard.metrics import Metrics
from components.dashboard.pages import compare, files, models, one_run, rollouts, runs
from components.dashboard.site import Site

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"
_Page = Callable[[Site, Request], Response]

_PAGES: dict[str, _Page] = {
    "/runs": runs.page,
    "/compare": compare.page,
    "/runs/{run}": one_run.page,
    "/runs/{run}/live": one_run.live,
    "/runs/{run}/rollouts": rollouts.page,
    "/runs/{run}/figures/{name}": files.figure,
    "/runs/{run}/docs/{name:path}": files.data_docs,
    "/models": models.page,
    "/models/{number}": models.version,
}


def create_app(project: Path, roots: Sequence[Path] = (), access: Access | None = None) -> ASGIApp:
    """The dashboard over ``project`` and the runs below ``roots``.

    Raises:
        PolyEpoError: it would show the runs to everybody on the network.
    """
    access = access or Access()
    access.check()
    site, metrics = Site(project, roots), Metrics()
    app = FastAPI(title="poly-epo", lifespan=_warming(site), docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    for path, page in _PAGES.items():
        app.add_api_route(path, _answer(site, metrics, path, page), methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/", _home, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/health", _health, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/metrics", metrics.answer, methods=["GET", "HEAD"], response_model=None)
    app.add_exception_handler(HTTPException, _not_found(site))
    return Guard(app, access)


def _warming(site: Site) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(site.warm)
        yield

    return lifespan


def _answer(site: Site, metrics: Metrics, path: str, page: _Page) -> Callable[[Request], Response]:
    # A plain function: pages read files, so they work in the thread pool.
    def answer(request: Request) -> Response:
        with metrics.timed(path):
            return page(site, request)

    return answer


def _home(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/runs")


def _health() -> Response:
    return PlainTextResponse("ok")


def _not_found(site: Site) -> Callable[[Request, Any], Response]:
    def answer(request: Request, error: Any) -> Response:
        if error.status_code != 404:
            return PlainTextResponse(str(error.detail), error.status_code)
        return site.unknown(
            request, "There is no page at this address.", [("/runs", "All runs"), ("/models", "Models")]
        )

    return answer
