"""What every page works with: the readers, and the rendering of a template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from components.dashboard.cache import Cache
from components.dashboard.comparing import Comparisons
from components.dashboard.documents import Documents
from components.dashboard.markdown import markdown
from components.dashboard.remote import Known, Remote, mlflow_only_runs, with_mlflow_ids
from components.dashboard.rollouts import Rollouts
from components.dashboard.runs import Index, Run, Value
from components.dashboard.series import read_training
from components.dashboard.snapshot import Snapshot
from components.dashboard.svg import key, number
from components.dashboard.text import shown, visible
from components.evaluation.table import display_name
from components.tracking.reading import sent_runs

__all__ = ["Site"]


class Site:
    """One dashboard over a project and further directories of runs."""

    def __init__(self, project: Path, roots: Sequence[Path] = ()) -> None:
        self.project = project
        self.documents = Documents()
        self.index = Index(project, roots, self.documents)
        self.remote = Remote(project, self.documents)
        self.comparisons = Comparisons()
        self.rollouts = Rollouts()
        self.charts = Cache(64)
        self._snapshot = Snapshot(self._scan)
        self._templates = _environment()

    def warm(self) -> None:
        """Read what the first visitor would have to wait for: every run's line, the curves of those that train."""
        for name in self._templates.list_templates():
            self._templates.get_template(name)
        for run in self.runs()[0]:
            if run.status == "training":
                read_training(run, self.documents)

    def runs(self) -> tuple[list[Run], Known]:
        """Every run, on disk or in MLflow alone, as of about a second ago, and what MLflow knows."""
        known = self.remote.known()
        runs, sent = self._snapshot.get()
        ids = with_mlflow_ids(runs, sent, known)
        runs = [replace(run, mlflow=ids.get(run.id, "")) for run in runs]
        return runs + mlflow_only_runs(known, set(ids.values())), known

    def run(self, name: str) -> Run | None:
        """One run as its files say now; None: there is none."""
        found = next((run for run in self.runs()[0] if run.id == name), None)
        return None if found is None else replace(self.index.again(found), mlflow=found.mlflow)

    def _scan(self) -> tuple[list[Run], dict[str, dict[str, str]]]:
        runs = self.index.runs()
        sources = {run.source.name: run.source for run in runs if run.source is not None}
        return runs, {name: sent_runs(source.state / "tracking") for name, source in sources.items()}

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page; ``root`` in it is the prefix of every address."""
        root = request.scope.get("root_path", "")
        known = values.pop("known", None) or self.remote.known()
        text = self._templates.get_template(template).render(root=root, path=request.url.path, known=known, **values)
        return HTMLResponse(text, status)

    def unknown(self, request: Request, what: str, exists: Sequence[tuple[str, str]]) -> HTMLResponse:
        """404: what was asked for, and links (address, text) to what exists."""
        return self.page(request, "unknown.html", 404, title="Not found", what=what, exists=exists)


def moment(seconds: float) -> Markup:
    """A time element in UTC, which a small script shows in the viewer's zone."""
    if not seconds:
        return Markup('<span class="quiet">-</span>')
    utc = datetime.fromtimestamp(seconds, UTC)
    text = utc.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(timespec="seconds"), text)


def interval(value: Value | None, digits: int = 3) -> Markup:
    """``0.532 [0.480, 0.583]``, the interval in quieter type; a dash where there is no value."""
    if value is None:
        return Markup('<span class="quiet">-</span>')
    if value.low is None or value.high is None:
        return escape(f"{value.value:.{digits}f}")
    ends = f"[{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return Markup('{} <span class="quiet ends">{}</span>').format(f"{value.value:.{digits}f}", ends)


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; rounding leaves no minus zero."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def metric(value: object) -> str:
    """A metric of any size in few digits; a dash for what is no number."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return number(value)


def run_label(run: Run) -> str:
    """How a run is called where runs of several workspaces stand together."""
    return f"{display_name(run.model)} · {run.workspace}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("components.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = (moment, interval, signed, metric, visible, shown, markdown, display_name, run_label)
    environment.filters |= {function.__name__: function for function in filters}
    environment.globals["legend_key"] = key
    return environment
