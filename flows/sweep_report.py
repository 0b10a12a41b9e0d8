"""The tables of a sweep: every cell of the grid, and paired differences, with intervals over seeds and problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation.seeds import hierarchical_bootstrap
from flows.sweep import TrialResult

__all__ = ["sweep_document", "sweep_markdown"]

METRICS = ("pass@1", "pass@8", "pass@32", "maj@8", "distinct_correct")
_SHARES = ("pass@", "maj@")

Groups = dict[tuple[str, float | None], list[TrialResult]]


def sweep_document(results: Sequence[TrialResult], *, draws: int, confidence: float) -> dict[str, Any]:
    """``cells``: one row per (arm, learning rate), the base first; ``differences``: each cell minus the base, and
    each arm minus the first arm at the same learning rate, paired by seed and problem.

    Each metric has value, low, high and the value of each seed; ``validation pass@1`` is that of the last evaluation
    during training, by which a learning rate may be chosen without looking at the test split.
    """
    groups: Groups = {}
    for result in results:
        key = ("base", None) if result.trial is None else (result.trial.arm, result.trial.learning_rate)
        groups.setdefault(key, []).append(result)
    cells = [_cell(arm, rate, group, draws, confidence) for (arm, rate), group in groups.items()]
    differences = [_difference(*pair, groups, draws, confidence) for pair in _pairs(groups)]
    return {"cells": cells, "differences": differences}


def sweep_markdown(document: dict[str, Any]) -> str:
    """Both tables in Markdown."""
    cells = _table(
        ["arm", "learning rate", "validation pass@1", *METRICS, "distinct by seed"],
        [
            [
                row["arm"],
                _rate(row["learning_rate"]),
                "" if row["validation pass@1"] is None else f"{row['validation pass@1']:.3f}",
                *(_interval(row[name]) for name in METRICS),
                ", ".join(f"{value:.2f}" for value in row["distinct_correct"]["by_seed"]),
            ]
            for row in document["cells"]
        ],
    )
    differences = _table(
        ["difference", "learning rate", *METRICS],
        [
            [row["difference"], _rate(row["learning_rate"]), *(_interval(row[name], "+") for name in METRICS)]
            for row in document["differences"]
        ],
    )
    return f"{cells}\n{differences}"


def _cell(arm: str, rate: float | None, group: Sequence[TrialResult], draws: int, confidence: float) -> dict[str, Any]:
    validation = [result.history.evaluations[-1]["pass@1"] for result in group if result.history is not None]
    row: dict[str, Any] = {
        "arm": arm,
        "learning_rate": rate,
        "seeds": [result.seed for result in group],
        "validation pass@1": float(np.mean(validation)) if validation else None,
    }
    for name in METRICS:
        ends = (0.0, 1.0) if name.startswith(_SHARES) else None
        values_SP = _values(group, name)
        interval = hierarchical_bootstrap(values_SP, draws=draws, confidence=confidence, seed=0, ends=ends)
        row[name] = {**interval.as_dict(), "by_seed": [round(float(value), 6) for value in values_SP.mean(axis=1)]}
    return row


def _pairs(groups: Groups) -> list[tuple[tuple[str, float | None], tuple[str, float | None]]]:
    """(cell, what it is compared with): all with the base, then each arm with the first arm at its learning rate."""
    trained = [key for key in groups if key[1] is not None]
    first = trained[0][0]
    arms = [(key, (first, key[1])) for key in trained if key[0] != first and (first, key[1]) in groups]
    return [*((key, ("base", None)) for key in trained), *arms]


def _difference(
    key: tuple[str, float | None], other: tuple[str, float | None], groups: Groups, draws: int, confidence: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"difference": f"{key[0]} - {other[0]}", "learning_rate": key[1]}
    for name in METRICS:
        values_SP = _values(groups[key], name) - _values(groups[other], name)
        row[name] = hierarchical_bootstrap(values_SP, draws=draws, confidence=confidence, seed=0).as_dict()
    return row


def _values(group: Sequence[TrialResult], name: str) -> NDArray[np.float64]:
    """(S, P) values of a metric, seeds and problems in one order for every group."""
    ordered = sorted(group, key=lambda result: result.seed)
    return np.stack([result.evaluation.values(name) for result in ordered])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _interval(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
