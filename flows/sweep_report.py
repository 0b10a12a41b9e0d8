"""The table of a sweep: every cell of the grid, mean over seeds with an interval, and each seed's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.evaluation.seeds import hierarchical_bootstrap
from flows.sweep import TrialResult

__all__ = ["sweep_document", "sweep_markdown"]

METRICS = ("pass@1", "pass@8", "pass@32", "maj@8", "distinct_correct")


def sweep_document(results: Sequence[TrialResult], *, draws: int, confidence: float) -> list[dict[str, Any]]:
    """One row per (arm, learning rate), the base first: metric -> value, low, high and each seed's value.

    ``validation pass@1`` is that of the last evaluation during training: what a learning rate may be chosen by.
    """
    groups: dict[tuple[str, float | None], list[TrialResult]] = {}
    for result in results:
        key = ("base", None) if result.trial is None else (result.trial.arm, result.trial.learning_rate)
        groups.setdefault(key, []).append(result)
    return [_row(arm, rate, group, draws, confidence) for (arm, rate), group in groups.items()]


def sweep_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    header = ["arm", "learning rate", "validation pass@1", *METRICS, "distinct by seed"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        cells = [row["arm"], "" if row["learning_rate"] is None else f"{row['learning_rate']:g}"]
        cells.append("" if row["validation pass@1"] is None else f"{row['validation pass@1']:.3f}")
        cells += [f"{row[name]['value']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]" for name in METRICS]
        cells.append(", ".join(f"{value:.2f}" for value in row["distinct_correct"]["by_seed"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row(arm: str, rate: float | None, group: Sequence[TrialResult], draws: int, confidence: float) -> dict[str, Any]:
    validation = [result.history.evaluations[-1]["pass@1"] for result in group if result.history is not None]
    row: dict[str, Any] = {
        "arm": arm,
        "learning_rate": rate,
        "seeds": [result.seed for result in group],
        "validation pass@1": float(np.mean(validation)) if validation else None,
    }
    for name in METRICS:
        values_SP = np.stack([result.evaluation.values(name) for result in group])
        interval = hierarchical_bootstrap(values_SP, draws=draws, confidence=confidence, seed=0)
        row[name] = {**interval.as_dict(), "by_seed": [round(float(value), 6) for value in values_SP.mean(axis=1)]}
    return row
