"""Which versions of the policy stay on disk: the newest ones, and the best one by a validation metric."""

from __future__ import annotations

import json
from dataclasses import dataclass

from components.errors import PolyEpoError
from components.improve.params import ImproveParams
from components.improve.workspace import ArmWorkspace, Step

__all__ = ["Best", "best_version", "kept_versions"]

_FOR_RESUMING = 2  # the newest policy, and the one before it, which the newest iteration was sampled from


@dataclass(frozen=True)
class Best:
    """The version with the highest value of ``metric`` on the validation problems."""

    version: int
    metric: str
    value: float


def kept_versions(workspace: ArmWorkspace, improve: ImproveParams, newest: int, *, finished: bool) -> set[int]:
    """The versions to keep once ``newest`` is published; a run that is not ``finished`` needs those it resumes from.

    Raises:
        PolyEpoError: see best_version.
    """
    count = improve.keep_last if finished else max(improve.keep_last, _FOR_RESUMING)
    kept = {newest - back for back in range(count)}
    best = best_version(workspace, improve, newest)
    return kept if best is None else kept | {best.version}


def best_version(workspace: ArmWorkspace, improve: ImproveParams, newest: int) -> Best | None:
    """The best of the evaluated versions 1 to ``newest`` that are still there, the earliest of equals.

    None where ``improve.keep_best`` is null or no version was evaluated yet.

    Raises:
        PolyEpoError: the evaluations have no such metric.
    """
    metric = improve.keep_best
    if metric is None:
        return None
    best: Best | None = None
    for version in range(1, newest + 1):
        path = workspace.step(Step(version, "evaluate")) / "metrics.json"
        if not path.is_file() or not workspace.policy(version).is_dir():
            continue
        metrics: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        if metric not in metrics:
            raise PolyEpoError(
                "the evaluations have no such metric",
                where="params.yaml improve.keep_best",
                value=metric,
                remedy=f"known: {', '.join(metrics)}",
            )
        if best is None or metrics[metric] > best.value:
            best = Best(version, metric, metrics[metric])
    return best
