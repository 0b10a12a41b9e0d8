"""/compare: several runs side by side."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from components.dashboard.charts import BREADTH, TRAINING, pass_at_k_chart, training_charts, validation_chart
from components.dashboard.comparing import params_that_differ
from components.dashboard.runs import Run
from components.dashboard.series import Training, read_training
from components.dashboard.site import Site, run_label
from components.dashboard.svg import Chart
from components.errors import PolyEpoError

__all__ = ["MOST_RUNS", "page"]

MOST_RUNS = 8
"""As many lines as can be told apart in one chart."""


def page(site: Site, request: Request) -> Response:
    """``?run=ID&run=ID``: curves, differences, parameters and versions of up to eight runs."""
    runs, known = site.runs()
    by_id = {run.id: run for run in runs}
    asked = list(dict.fromkeys(request.query_params.getlist("run")))
    chosen = [by_id[name] for name in asked if name in by_id][:MOST_RUNS]
    unknown = [name for name in asked if name not in by_id]
    if unknown and not chosen:
        exists = [(f"/compare?run={run.id}", run.id) for run in runs[:20]]
        return site.unknown(request, f"There is no run {unknown[0][:200]!r}.", exists)
    # A run's content is as it was when nothing newer is published: its charts are then drawn already.
    state = tuple((run.updated, run.iterations, run.status, run.policy) for run in chosen)
    outcome, breadth, training = site.charts.get(tuple(run.id for run in chosen), state, lambda: _charts(site, chosen))
    return site.page(
        request,
        "compare.html",
        title="Compare runs",
        known=known,
        chosen=chosen,
        unknown=unknown,
        others=[run for run in runs if run not in chosen][:200],
        too_many=len(asked) - len(unknown) > MOST_RUNS,
        outcome=outcome,
        rows=site.comparisons.rows(chosen),
        breadth=breadth,
        training=training,
        params=params_that_differ(chosen, site.documents),
        tags={run.id: known.retrain_tags(run.mlflow) for run in chosen},
    )


def _charts(site: Site, chosen: list[Run]) -> tuple[Chart | None, list[Chart], list[Chart]]:
    trainings = {run_label(run): (style, read_training(run, site.documents)) for style, run in enumerate(chosen)}
    outcome = pass_at_k_chart(_metrics(site, chosen))
    return outcome, _breadth(trainings), training_charts(trainings, TRAINING)


def _breadth(trainings: dict[str, tuple[int, Training]]) -> list[Chart]:
    validation = validation_chart(trainings)
    return [*([validation] if validation else []), *training_charts(trainings, BREADTH)]


def _metrics(site: Site, runs: list[Run]) -> dict[str, tuple[int, dict[str, object]]]:
    found = {}
    for style, run in enumerate(runs):
        directory = run.evaluation_directory
        if directory is None or (run.pass_1 is None and run.pass_8 is None and run.pass_32 is None):
            continue
        try:
            found[run_label(run)] = (style, site.documents.json(directory / "metrics.json"))
        except PolyEpoError:
            continue  # told among the run's problems
    return found
