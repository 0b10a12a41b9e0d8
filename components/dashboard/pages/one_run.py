"""/runs/ID: one run, live while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from components.dashboard.charts import BREADTH, TRAINING, pass_at_k_chart, training_charts, validation_chart
from components.dashboard.pages.files import data_docs_names, figure_names
from components.dashboard.runs import Run
from components.dashboard.series import Training, read_training
from components.dashboard.site import Site, run_label
from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME

__all__ = ["live", "page", "unknown_run"]

_NEWEST = (
    ("reward_mean", "reward", "mean over completions"),
    ("coverage", "coverage", "share of problems"),
    ("distinct_correct", "distinct correct", "strategies per problem"),
    ("entropy", "entropy", "nats per token"),
    ("clip_fraction", "clipped", "share of tokens"),
    ("mismatch_kl", "mismatch KL", "nats per token"),
    ("grad_norm", "gradient norm", ""),
    ("tokens_per_second", "sampling", "tokens per second"),
    ("seconds", "iteration", "seconds"),
)


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline as its published directory tells it."""

    name: str
    state: str
    digest: str = ""
    updated: float = 0.0
    note: str = ""


def page(site: Site, request: Request) -> Response:
    """Progress, charts, stages, gates and figures of one run."""
    found = _find(site, request)
    if not isinstance(found, Run):
        return found
    known = site.remote.known()
    return site.page(
        request,
        "run.html",
        title=run_label(found),
        known=known,
        run=found,
        outcome=_outcome(site, found),
        stages=_stages(site, found),
        gates=_gates(site, found),
        docs=data_docs_names(found),
        figures=figure_names(site, found),
        prefect=_prefect(site, found, known.retrain_tags(found.mlflow)),
        aliases=known.aliases(found.policy),
        **_progress(site, found),
    )


def live(site: Site, request: Request) -> Response:
    """The part of the page that moves while the run trains; 204 when nothing is new since iteration ``seen``."""
    found = _find(site, request)
    if not isinstance(found, Run):
        return found
    if request.query_params.get("seen") == f"{found.iterations}-{found.status}":
        return Response(status_code=204)
    return site.page(request, "live.html", run=found, **_progress(site, found))


def unknown_run(site: Site, request: Request, runs: list[Run]) -> Response:
    """404 with the runs that exist."""
    name = request.path_params["run"][:200]
    exists = [(f"/runs/{run.id}", run.id) for run in runs[:20]]
    return site.unknown(request, f"There is no run {name!r}.", exists)


def _find(site: Site, request: Request) -> Run | Response:
    return site.run(request.path_params["run"]) or unknown_run(site, request, site.runs()[0])


def _progress(site: Site, run: Run) -> dict[str, Any]:
    training = read_training(run, site.documents)
    label = {run_label(run): (0, training)}
    validation = validation_chart(label)
    return {
        "newest": _newest(training),
        "charts": [*([validation] if validation else []), *training_charts(label, (*BREADTH, *TRAINING))],
        "damage": [*run.problems, *training.problems][:20],
    }


def _newest(training: Training) -> list[tuple[str, object, str]]:
    record = training.iterations[-1] if training.iterations else {}
    return [(label, record[name], unit) for name, label, unit in _NEWEST if name in record]


def _outcome(site: Site, run: Run) -> object:
    directory = run.evaluation_directory
    if directory is None or run.status != "evaluated":
        return None
    try:
        return pass_at_k_chart({run_label(run): (0, site.documents.json(directory / "metrics.json"))})
    except PolyEpoError:
        return None  # told among the run's problems


def _stages(site: Site, run: Run) -> list[Stage]:
    if run.source is None:
        return []
    workspace = run.source.workspace
    places = {
        "data": workspace / "data",
        "gate_problems": workspace / "gates" / "problems",
        "base": workspace / "base",
        f"improve@{run.model}": workspace / "improve" / run.model / "final",
        f"evaluate@{run.model}": workspace / "evaluation" / run.model,
        "compare": run.source.reports / "comparison",
        "register": workspace / "promotion",
    }
    if run.model == "base":
        del places["improve@base"]
        places = {name.replace("evaluate@base", "evaluate_base"): place for name, place in places.items()}
    stages = []
    for name, directory in places.items():
        try:
            manifest = site.documents.manifest(directory)
        except PolyEpoError as error:
            stages.append(Stage(name, "damaged", note=error.line()))
            continue
        if manifest is None:
            under_way = name.startswith("improve@") and run.iterations > 0
            stages.append(Stage(name, run.status if under_way else "not yet"))
        else:
            stages.append(Stage(name, "published", manifest.digest, (directory / MANIFEST_NAME).stat().st_mtime))
    return stages


def _gates(site: Site, run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Gate -> its result.json; the gates of the data, then those of the iterations of this arm that had one."""
    if run.source is None:
        return []
    places = sorted((run.source.workspace / "gates").glob("*/result.json"))
    if run.arm_directory is not None:
        places += sorted(run.arm_directory.glob("iterations/[0-9]*/gate/result.json"))[-20:]
    gates: list[tuple[str, dict[str, Any]]] = []
    for path in places:
        within = path.parent.parent.name
        name = "data" if within == "gates" else f"iteration {within.lstrip('0')}"
        try:
            results = site.documents.objects(path)
            gates += [(f"{name}: {result.get('gate', path.parent.name)}", result) for result in results]
        except PolyEpoError as error:
            gates.append((name, {"success": False, "expectations": [], "fault": error.line()}))
    return gates


def _prefect(site: Site, run: Run, tags: Mapping[str, str]) -> str:
    """Prefect's page of the run's retrain, or of all runs; "" when no server of that checkout is noted.

    The server may have ended since.
    """
    if run.source is None:
        return ""
    try:
        api = str(site.documents.json(run.source.state / "prefect" / "server.json").get("api_url", ""))
    except PolyEpoError:
        return ""
    if not api.startswith(("http://", "https://")):
        return ""
    flow_run = tags.get("flow_run_id", "")
    return f"{api.removesuffix('/api')}/runs" + (f"/flow-run/{flow_run}" if flow_run else "")
