"""/runs/ID/rollouts: the completions of one problem, and side by side those of another iteration or run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from components.dashboard.pages.one_run import unknown_run
from components.dashboard.rollouts import Completion, Group
from components.dashboard.runs import Run
from components.dashboard.site import Site, run_label
from components.errors import PolyEpoError

__all__ = ["page"]

_WHOLE = 20_000_000  # characters of one completion that a page ever shows
_NEAR = 40  # iterations looked through, nearest first, for another one that sampled the same problem


@dataclass(frozen=True)
class Side:
    """One column of the page: a run, an iteration, and the problem's completions in it.

    ``nearest`` is the nearest other iteration that sampled the problem, 0 when none near does.
    """

    run: Run
    iteration: int
    iterations: list[int]
    problems: list[str]
    group: Group | None
    nearest: int = 0
    fault: str = ""


def page(site: Site, request: Request) -> Response:
    """``?problem=&iteration=`` and, beside it, ``&run2=&iteration2=``; ``&full=INDEX`` shows one completion whole.

    Without ``iteration2`` another run is shown at the same iteration, the same run at the nearest other iteration that
    sampled the problem.
    """
    runs, known = site.runs()
    by_id = {run.id: run for run in runs}
    run = by_id.get(request.path_params["run"])
    if run is None:
        return unknown_run(site, request, runs)
    asked = request.query_params
    left = _side(site, run, asked.get("iteration", ""), asked.get("problem", ""))
    problem = asked.get("problem", "") or (left.problems[0] if left.problems else "")
    if problem and left.problems and problem not in left.problems:
        return _unknown_problem(site, request, left, problem)
    other = by_id.get(asked.get("run2", ""), run)
    beside = asked.get("run2") or asked.get("iteration2")
    opposite = str((left.nearest if other is run else 0) or left.iteration)
    right = _side(site, other, asked.get("iteration2", "") or opposite, problem) if beside else None
    whole = _whole(left, asked.get("full", ""))
    return site.page(
        request,
        "rollouts.html",
        title=f"Rollouts of {run_label(run)}",
        known=known,
        run=run,
        problem=problem,
        prompt=site.rollouts.prompt(run, problem),
        left=left,
        right=right,
        shared=[name for name in left.problems if right is not None and name in right.problems][:12],
        whole=whole,
        limit=_WHOLE,
        others=[entry for entry in runs if entry.arm_directory is not None][:200],
    )


def _side(site: Site, run: Run, iteration: str, problem: str) -> Side:
    arm = run.arm_directory
    try:
        numbers = site.documents.numbers(arm / "iterations") if arm is not None else []
        asked = int(iteration) if iteration.isascii() and iteration.isdigit() and len(iteration) < 10 else 0
        # The newest iteration may hold no scored rollouts yet while the run trains.
        number = asked or next((n for n in reversed(numbers) if site.rollouts.problems(run, n)), 0)
        problems = site.rollouts.problems(run, number) if number in numbers else []
        chosen = problem or (problems[0] if problems else "")
        group = site.rollouts.group(run, number, chosen, _objective(site, run)) if problems else None
        nearest = _nearest(site, run, number, numbers, chosen)
    except PolyEpoError as error:
        return Side(run, 0, [], [], None, fault=error.line())
    return Side(run, number, numbers, problems, group, nearest)


def _nearest(site: Site, run: Run, number: int, numbers: list[int], problem: str) -> int:
    """An earlier iteration comes before a later one that is as near."""
    near = sorted((n for n in numbers if n != number), key=lambda n: (abs(n - number), n))[:_NEAR]
    return next((n for n in near if problem in site.rollouts.problems(run, n)), 0)


def _objective(site: Site, run: Run) -> dict[str, Any]:
    if run.source is None:
        return {}
    try:
        arms = site.documents.raw_params(run.source.params).get("arms")
    except PolyEpoError:
        return {}
    arm = arms.get(run.model) if isinstance(arms, dict) else None
    objective = arm.get("objective") if isinstance(arm, dict) else None
    return objective if isinstance(objective, dict) else {}


def _whole(side: Side, index: str) -> Completion | None:
    known = side.group is not None and index.isascii() and index.isdigit() and len(index) < 10
    return side.group.completion(int(index)) if side.group is not None and known else None


def _unknown_problem(site: Site, request: Request, side: Side, problem: str) -> Response:
    address = f"/runs/{side.run.id}/rollouts?iteration={side.iteration}&problem="
    what = f"Iteration {side.iteration} of {side.run.id} has no problem {problem[:200]!r}."
    return site.unknown(request, what, [(f"{address}{name}", name) for name in side.problems[:30]])
