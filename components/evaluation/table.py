"""The comparison as a table: the document table.json, and its rows as text for a terminal or Markdown.

document = comparison_document(evaluations, params)
for table in (result_table(document), difference_table(document)):
    print(table.headers, table.rows)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from components.evaluation.comparability import comparability_notes, result_notes
from components.evaluation.intervals import paired_bootstrap
from components.evaluation.params import EvaluationParams
from components.evaluation.results import Evaluation

__all__ = [
    "TextTable",
    "comparison_document",
    "difference_table",
    "display_name",
    "interval_name",
    "markdown",
    "result_table",
]

_SHOWN_KS = (1, 8, 32)
_CONDITIONS = (
    "problems",
    "samples",
    "distinct_samples",
    "confidence",
    "interval",
    "temperature",
    "top_p",
    "max_new_tokens",
    "verifier",
    "clusterer",
    "dataset",
    "prompts",
)
_DISPLAY_NAMES = {"grpo": "GRPO", "grpo_div": "GRPO+DIV", "poly_epo": "Poly-EPO", "rloo": "RLOO", "maxrl": "MaxRL"}


@dataclass(frozen=True)
class TextTable:
    """A title, headers and rows of equally many cells."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def comparison_document(
    evaluations: Sequence[Evaluation], params: EvaluationParams, *, allow_differences: bool = False
) -> dict[str, Any]:
    """table.json: each model's metrics with intervals, and the paired difference of every two models.

    Every later model is compared with every earlier one on the same problems: with base, GRPO and Poly-EPO in
    that order the pairs are GRPO - base, Poly-EPO - base and Poly-EPO - GRPO.

    Args:
        evaluations: the first one is the baseline of all others.
        params: section ``evaluation``: how differences get their intervals.
        allow_differences: compare evaluations that were sampled or judged under other conditions, and say so in
            ``notes``; other problems or prompts are refused all the same.

    Raises:
        PolyEpoError: no evaluation, equal names, other problems, or (unless allowed) other conditions.
    """
    flags = comparability_notes(evaluations, allow_differences=allow_differences)
    metrics = [name for name in evaluations[0].metric_names if all(name in e.metric_names for e in evaluations)]
    first = evaluations[0].metrics
    return {
        "columns": shown_metrics(metrics),
        "conditions": {key: first.get(key) for key in _CONDITIONS},
        "notes": [*flags, *(note for evaluation in evaluations for note in result_notes(evaluation))],
        "models": [
            {"model": e.name, "metrics": {metric: e.metrics[metric] for metric in metrics}} for e in evaluations
        ],
        "differences": [
            {
                "baseline": baseline.name,
                "candidate": candidate.name,
                "metrics": {
                    metric: _difference(baseline, candidate, metric, params, evaluations[0].problem_ids)
                    for metric in metrics
                },
            }
            for baseline, candidate in combinations(evaluations, 2)
        ],
    }


def shown_metrics(metrics: Sequence[str]) -> list[str]:
    """The metrics that the text tables show: pass@1, @8, @32, maj@k of the largest k, distinct_correct."""
    passes = [f"pass@{k}" for k in _SHOWN_KS if f"pass@{k}" in metrics]
    passes = passes or [name for name in metrics if name.startswith("pass@")][:3]
    majorities = [name for name in metrics if name.startswith("maj@")]
    return [*passes, *majorities[-1:], *(name for name in ("distinct_correct",) if name in metrics)]


def result_table(document: Mapping[str, Any]) -> TextTable:
    """One row per model: mean [low, high] of each shown metric."""
    rows = [
        [display_name(row["model"]), *(_interval(row["metrics"][metric], "") for metric in document["columns"])]
        for row in document["models"]
    ]
    conditions = document["conditions"]
    title = (
        f"{conditions['problems']} held-out problems, {conditions['samples']} samples each, "
        f"temperature {_known(conditions['temperature'])}, top_p {_known(conditions['top_p'])}, "
        f"at most {_known(conditions.get('max_new_tokens'))} tokens, verifier {_known(conditions.get('verifier'))}; "
        f"{conditions['confidence']:.0%} {interval_name(conditions.get('interval'))} intervals over problems"
    )
    return TextTable(title, ["model", *_headers(document)], rows)


def difference_table(document: Mapping[str, Any]) -> TextTable:
    """One row per pair of models: mean difference [low, high] and probability of improvement of each shown metric."""
    rows = [
        [
            f"{display_name(row['candidate'])} - {display_name(row['baseline'])}",
            *(_improvement(row["metrics"][metric]) for metric in document["columns"]),
        ]
        for row in document["differences"]
    ]
    title = "Paired differences on the same problems; P: probability of improvement"
    return TextTable(title, ["difference", *_headers(document)], rows)


def markdown(document: Mapping[str, Any]) -> str:
    """Both tables as Markdown, and under them what a reader must know."""
    tables = [table for table in (result_table(document), difference_table(document)) if table.rows]
    notes = [f"- {_escaped(note)}" for note in document.get("notes", [])]
    return "\n".join([*(_markdown(table) for table in tables), *notes, *([""] if notes else [])])


def interval_name(method: str | None) -> str:
    """How a way of making intervals is written for people."""
    return {"bayesian": "Bayesian", "bca": "BCa bootstrap"}.get(method or "", "bootstrap")


def display_name(name: str) -> str:
    """How a model or an arm is written for people."""
    return _DISPLAY_NAMES.get(name, name)


def _headers(document: Mapping[str, Any]) -> list[str]:
    distinct = f"distinct correct of {document['conditions']['distinct_samples']}"
    return [distinct if metric == "distinct_correct" else metric for metric in document["columns"]]


def _interval(entry: Mapping[str, float], sign: str) -> str:
    value, low, high = (_rounded(entry[key], sign) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _improvement(entry: Mapping[str, float]) -> str:
    probability = entry.get("probability")
    return _interval(entry, "+") + (f" P\N{NO-BREAK SPACE}{probability:.2f}" if probability is not None else "")


def _known(value: object) -> str:
    if value is None:
        return "unknown"
    return format(value, "g") if isinstance(value, int | float) else str(value)


def _escaped(text: str) -> str:
    return re.sub(r"([|\\`<])", r"\\\1", text)


def _rounded(value: float, sign: str) -> str:
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    return format(round(value, 2) + 0.0, f"{sign}.2f")


def _markdown(table: TextTable) -> str:
    cells = [[_escaped(cell) for cell in row] for row in [table.headers, *table.rows]]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    rule = f"|{'|'.join(['---'] + ['---:'] * (len(table.headers) - 1))}|"
    return "\n".join([f"{table.title}.", "", lines[0], rule, *lines[1:], ""])


def _difference(
    baseline: Evaluation, candidate: Evaluation, metric: str, params: EvaluationParams, order: Sequence[str]
) -> dict[str, float]:
    return paired_bootstrap(
        baseline.values(metric, order),
        candidate.values(metric, order),
        draws=params.bootstrap_draws,
        confidence=params.confidence,
        seed=params.seed,
        method=params.interval,
    ).as_dict()
