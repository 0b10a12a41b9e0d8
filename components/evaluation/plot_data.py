"""The data behind the figures, as rows that CSV files, DVC plots and the drawing functions share."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluation.results import Evaluation, History

__all__ = [
    "Row",
    "branching_rows",
    "coverage_rows",
    "difference_rows",
    "distinct_rows",
    "pass_at_k_rows",
    "strategy_rows",
    "write_csv",
]

Row = dict[str, Any]

_WINDOW = 5


def pass_at_k_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """``model``, ``k``, ``value``, ``low``, ``high``: the pass@k curve of each model."""
    return [
        {"model": evaluation.name, "k": int(metric.removeprefix("pass@")), **evaluation.metrics[metric]}
        for evaluation in evaluations
        for metric in evaluation.metric_names
        if metric.startswith("pass@")
    ]


def difference_rows(document: Mapping[str, Any]) -> list[Row]:
    """``pair``, ``baseline``, ``candidate``, ``k``, ``value``, ``low``, ``high``, ``probability`` of pass@k.

    One row for each pair of table.json and each k.
    """
    return [
        {
            "pair": f"{row['candidate']} - {row['baseline']}",
            "baseline": row["baseline"],
            "candidate": row["candidate"],
            "k": int(metric.removeprefix("pass@")),
            **entry,
        }
        for row in document["differences"]
        for metric, entry in row["metrics"].items()
        if metric.startswith("pass@")
    ]


def strategy_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """``model``, ``metric``, ``value``, ``low``, ``high``: distinct correct strategies, counted and effective."""
    return [
        {"model": evaluation.name, "metric": metric, **evaluation.metrics[metric]}
        for evaluation in evaluations
        for metric in ("distinct_correct", "effective_correct")
        if metric in evaluation.metric_names
    ]


def branching_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """``model``, ``position``, ``value``, ``low``, ``high``: branches of the prefix tree at token positions."""
    return [
        {"model": evaluation.name, "position": int(metric.removeprefix("branches@")), **evaluation.metrics[metric]}
        for evaluation in evaluations
        for metric in evaluation.metric_names
        if metric.startswith("branches@")
    ]


def distinct_rows(histories: Sequence[History]) -> list[Row]:
    """``model``, ``iteration``, ``value``: distinct correct clusters on the validation split over training."""
    return [
        {"model": history.name, "iteration": record["iteration"], "value": record["distinct_correct"]}
        for history in histories
        for record in history.evaluations
    ]


def coverage_rows(histories: Sequence[History]) -> list[Row]:
    """``model``, ``iteration``, ``value``, ``smoothed``: share of training problems with a correct rollout.

    ``smoothed`` is the centred moving average over five iterations (fewer at the ends): each iteration sees
    other problems, and that noise hides the trend.
    """
    rows: list[Row] = []
    for history in histories:
        values = [float(record["coverage"]) for record in history.iterations]
        for index, record in enumerate(history.iterations):
            near = values[max(index - _WINDOW // 2, 0) : index + _WINDOW // 2 + 1]
            rows.append(
                {
                    "model": history.name,
                    "iteration": record["iteration"],
                    "value": values[index],
                    "smoothed": round(float(np.mean(near)), 10),
                }
            )
    return rows


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV, first line the keys; the same rows give the same bytes."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
