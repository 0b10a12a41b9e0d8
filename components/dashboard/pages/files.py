"""Files that a run page links to: figures of the comparison, and Great Expectations' Data Docs.

A name in an address is looked up among the files that exist; no path is made from it. Data Docs are pages that
another program wrote around data: they are shown without scripts and cut off from this site.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from components.dashboard.runs import Run
from components.dashboard.site import Site
from components.errors import PolyEpoError

__all__ = ["data_docs", "data_docs_names", "figure", "figure_names"]

_KINDS = {".png": "image/png"}
_CUT_OFF = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def figure_names(site: Site, run: Run) -> list[str]:
    """Names of the figures of the comparison that the run is part of."""
    return sorted(_figures(site, run))


def data_docs_names(run: Run) -> list[str]:
    """Validation pages in the run's Data Docs, those of other arms left out; newest last."""
    names = sorted(_documents(run))
    return [name for name in names if name.split("-")[0] == run.model or name.startswith("problems-")][-40:]


def figure(site: Site, request: Request) -> Response:
    """One figure."""
    run = site.run(request.path_params["run"])
    path = _figures(site, run).get(request.path_params["name"]) if run else None
    if path is None:
        return site.unknown(request, "There is no such figure.", [("/runs", "All runs")])
    return FileResponse(path, media_type=_KINDS[path.suffix])


def data_docs(site: Site, request: Request) -> Response:
    """One page of the Data Docs, without scripts."""
    run = site.run(request.path_params["run"])
    path = _documents(run).get(request.path_params["name"]) if run else None
    if path is None:
        return site.unknown(request, "There is no such page in the Data Docs.", [("/runs", "All runs")])
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": _CUT_OFF})


def _figures(site: Site, run: Run) -> dict[str, Path]:
    if run.source is None:
        return {}
    directory = run.source.reports / "comparison"
    try:
        manifest = site.documents.manifest(directory)
    except PolyEpoError:
        return {}
    files = [Path(name) for name in (manifest.files if manifest else {})]
    return {file.name: directory / file for file in files if file.suffix in _KINDS and ".." not in file.parts}


def _documents(run: Run) -> dict[str, Path]:
    """``SITE/validation`` -> page; links that lead out of the directory are left out."""
    if run.source is None:
        return {}
    root = (run.source.state / "data_docs").resolve()
    pages = root.glob("*/validations/**/*.html")
    return {
        f"{page.relative_to(root).parts[0]}/{page.stem}": page for page in pages if page.resolve().is_relative_to(root)
    }
