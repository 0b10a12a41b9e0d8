"""A run over training: one record per iteration, from history.json or, while it trains, from its iterations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.dashboard.documents import Documents, read_object
from components.dashboard.runs import Run
from components.errors import PolyEpoError

__all__ = ["Training", "read_training"]


@dataclass(frozen=True)
class Training:
    """Metrics of every iteration, and of the evaluations on the validation split.

    Attributes:
        iterations: records with ``iteration`` and the metrics of scoring and update.
        evaluations: records with ``iteration`` and e.g. ``pass@8``, ``distinct_correct``.
        problems: what could not be read.
    """

    iterations: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    problems: list[str]


def read_training(run: Run, documents: Documents) -> Training:
    """What is known of the training of ``run``; empty for the base policy."""
    arm = run.arm_directory
    if arm is None or run.source is None:
        return Training([], [], [])
    training = _finished(arm, documents)
    if training is None:
        training = _so_far(arm, documents)
    try:
        _add_speed(training, documents.lines(run.source.state / "timings" / f"{run.model}.jsonl"))
    except PolyEpoError as error:
        training.problems.append(error.line())
    return training


def _finished(arm: Path, documents: Documents) -> Training | None:
    """From history.json; None when there is none, or it is damaged: the iterations say the same."""
    try:
        document = documents.json(arm / "history.json")
    except PolyEpoError:
        return None
    iterations, evaluations = _records(document.get("iterations")), _records(document.get("evaluations"))
    return Training(iterations, evaluations, []) if iterations else None


def _so_far(arm: Path, documents: Documents) -> Training:
    training = Training([], [], [])
    try:
        numbers = documents.numbers(arm / "iterations")
    except PolyEpoError as error:
        return Training([], [], [error.line()])
    for number in numbers:
        directory = arm / "iterations" / f"{number:06d}"
        record, evaluation, problems = documents.once(
            directory, (directory / "update", directory / "evaluation"), _iteration
        )
        training.problems.extend(problems)
        if record:
            training.iterations.append({"iteration": number} | record)
        if evaluation:
            training.evaluations.append({"iteration": number} | evaluation)
    return training


def _iteration(directory: Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Metrics of scoring and update, those of the evaluation, and what could not be read."""
    problems: list[str] = []
    scored, update, evaluation = (_metrics(directory / step, problems) for step in ("scored", "update", "evaluation"))
    return scored | update, evaluation, problems


def _metrics(directory: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return read_object(directory / "metrics.json")
    except PolyEpoError as error:
        problems.append(error.line())
        return {}


def _add_speed(training: Training, timings: list[dict[str, Any]]) -> None:
    """Tokens per second of sampling, and seconds per iteration, into copies of the records; the last line counts."""
    speeds: dict[int, float] = {}
    seconds: dict[int, dict[str, float]] = {}
    for entry in timings:
        number, step = entry.get("iteration"), entry.get("step")
        if not isinstance(number, int) or not isinstance(step, str):
            continue
        if step == "rollout" and isinstance(entry.get("tokens_per_second"), int | float):
            speeds[number] = entry["tokens_per_second"]
        if isinstance(entry.get("seconds"), int | float):
            seconds.setdefault(number, {})[step] = entry["seconds"]
    for place, record in enumerate(training.iterations):
        number = record["iteration"]
        added = {"tokens_per_second": speeds[number]} if number in speeds else {}
        if number in seconds:
            added["seconds"] = sum(seconds[number].values())
        training.iterations[place] = record | added


def _records(value: object) -> list[dict[str, Any]]:
    """A list of records with an iteration; anything else in it is left out."""
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("iteration"), int)]
