"""Screenshots of every page, for people to look at: POLY_EPO_SCREENSHOTS names the directory they go to.

    POLY_EPO_SCREENSHOTS=docs/screenshots POLY_EPO_SCREENSHOTS_PROJECT=. pytest tests/browser/test_screenshots.py

With POLY_EPO_SCREENSHOTS_PROJECT they show that checkout's own run, otherwise generated workspaces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.conftest import Served, serve, watched

pytestmark = [pytest.mark.services, pytest.mark.slow]

_WIDE, _PHONE = {"width": 1200, "height": 780}, {"width": 390, "height": 780}


@pytest.fixture
def shown(served: Served) -> Iterator[Served]:
    """The real project that the environment names, else the generated one."""
    project = os.environ.get("POLY_EPO_SCREENSHOTS_PROJECT")
    if project:
        yield from serve(Path(project).resolve(), [])
    else:
        yield served


def test_screenshots_of_every_page(browser: Any, shown: Served, tmp_path: Path) -> None:
    target = Path(os.environ.get("POLY_EPO_SCREENSHOTS", tmp_path))
    target.mkdir(parents=True, exist_ok=True)
    runs = [run for run in shown.site.index.runs() if run.status == "evaluated"]
    newest = next(run for run in runs if run.model == "poly_epo")
    chosen = [run.id for run in runs if run.workspace == newest.workspace]
    one = quote(newest.id, safe="")
    rival = next((run for run in runs if run.model == "grpo" and run.workspace == newest.workspace), newest)
    pages = {
        "runs": "/runs",
        "compare": "/compare?" + "&".join(f"run={quote(run, safe='')}" for run in sorted(chosen)),
        "run": f"/runs/{one}",
        "rollouts": f"/runs/{one}/rollouts?iteration={newest.iterations}&run2={quote(rival.id, safe='')}",
        "models": "/models",
    }
    if shown.site.remote.known().versions:
        pages["version"] = "/models/1"
    shots = [(name, "light", _WIDE) for name in pages]
    shots += [("compare", "dark", _WIDE), ("runs", "light", _PHONE)]
    for name, scheme, size in shots:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        for page in watched(context, shown):
            page.goto(shown.address + pages[name])
            page.wait_for_load_state("networkidle")
            suffix = "-dark" if scheme == "dark" else "-phone" if size is _PHONE else ""
            file = target / f"{name}{suffix}.png"
            page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, **_cut(page, size)})
            assert file.stat().st_size > 5_000


def _cut(page: Any, size: dict[str, int]) -> dict[str, int]:
    """The page's top 2200 pixels: more is not looked at."""
    return {"width": size["width"], "height": min(page.evaluate("document.documentElement.scrollHeight"), 2200)}
