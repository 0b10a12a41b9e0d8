"""A dashboard on a free port, and Chromium to look at it. Without it: skipped, in CI (CI=true) failed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from components.dashboard.app import create_app
from components.dashboard.site import Site
from tests.unit.dashboard.example import HOSTILE, make_iteration, make_workspace, write_params, write_timings

AXE = "axe-core@4.14.1"
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def missing(what: str) -> Any:
    """Skip on a laptop, fail in CI: there the browser tests must run."""
    return pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)


@dataclass
class Served:
    """A running dashboard: its address, the project's root and the objects behind the pages."""

    address: str
    project: Path
    site: Site


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Three archived workspaces, one with hostile completions, and a project that trains."""
    root = tmp_path_factory.mktemp("browser")
    project = root / "project"
    project.mkdir()
    write_params(project, ["grpo"], 8, 8, {})
    make_iteration(project / "workspace", "grpo", 1, 8)
    for seed, name in enumerate(("monday", "tuesday", "wednesday")):
        more = {"training": {"learning_rate": 1e-4 * (seed + 1)}}
        workspace = make_workspace(root / "archive" / name, iterations=40, seed=seed, group_size=16, params=more)
        write_timings(workspace / "timings" / "poly_epo.jsonl", 40)
    make_iteration(root / "archive" / "tuesday", "poly_epo", 40, 40, completions=HOSTILE, group_size=8, seed=1)
    yield from serve(project, [root / "archive"])


def serve(project: Path, roots: list[Path]) -> Iterator[Served]:
    """Serve in a thread until the caller is done."""
    app = create_app(project, roots)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the dashboard did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    site: Site = app._app.state.site  # type: ignore[attr-defined]
    site.remote.refresh()
    yield Served(f"http://127.0.0.1:{port}", project, site)
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; nothing but the dashboard is reachable from its pages."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install --no-deps -r tests/browser/requirements.txt")
    if not Path(path).exists():
        missing(f"no Chromium at {path}: install it, or name it in CHROMIUM")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Any]:
    """A page of 1280 x 800 in UTC+9; a request to another host or a message on the console fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="Asia/Tokyo", locale="en-GB")
    yield from watched(context, served)


def watched(context: Any, served: Served) -> Iterator[Any]:
    """A page of ``context`` that is watched for requests to other hosts and for errors."""
    page = context.new_page()
    page.set_default_timeout(20_000)
    strays: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((served.address, "data:")) else strays.append(r.url))
    page.on("console", lambda m: strays.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: strays.append(str(e)))
    yield page
    context.close()
    strays = [stray for stray in strays if "404" not in stray]
    assert not strays


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """The source of axe-core, fetched once from npm into pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    directory = cache.mkdir("axe-core")
    kept = directory / f"{AXE}.js"
    if not kept.is_file():
        npm = shutil.which("npm")
        if npm is None:
            missing("npm, which brings axe-core, is not installed")
        done = subprocess.run(
            [npm or "npm", "pack", "--silent", AXE], cwd=directory, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            missing(f"npm could not fetch {AXE}: {done.stderr[-300:]}")
        archive = directory / done.stdout.split()[-1]
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
            member = files.extractfile("package/axe.min.js")
            assert member is not None
            kept.write_bytes(member.read())
        archive.unlink()
    return kept.read_text(encoding="utf-8")
