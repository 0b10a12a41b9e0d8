"""history.json: every metric of every iteration of one arm in one file, for figures and comparisons."""

from __future__ import annotations

import json
from typing import Any

from components.improve.workspace import ArmWorkspace, Step
from components.manifest import write_json

__all__ = ["write_history"]


def write_history(workspace: ArmWorkspace, iterations: int) -> None:
    """Gather the metrics of iterations 1..``iterations`` and of the evaluations among 0..``iterations``."""
    rows = [
        {"iteration": iteration}
        | (_metrics(workspace, Step(iteration, "score")) or {})
        | (_metrics(workspace, Step(iteration, "update")) or {})
        for iteration in range(1, iterations + 1)
    ]
    evaluations = [
        {"iteration": iteration} | metrics
        for iteration in range(iterations + 1)
        if (metrics := _metrics(workspace, Step(iteration, "evaluate"))) is not None
    ]
    write_json(workspace.root / "history.json", {"iterations": rows, "evaluations": evaluations})


def _metrics(workspace: ArmWorkspace, step: Step) -> dict[str, Any] | None:
    path = workspace.step(step) / "metrics.json"
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
