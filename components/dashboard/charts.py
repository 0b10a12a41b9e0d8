"""Which charts a page shows: pass@k of several runs, and what several runs did over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.dashboard.series import Training
from components.dashboard.svg import Chart, Point, Series

__all__ = ["BREADTH", "TRAINING", "pass_at_k_chart", "training_charts"]

_POINTS = 100  # values drawn per line; more cannot be told apart at this width

_ITERATION = "training iteration"
BREADTH = (
    ("coverage", "Training problems with a correct rollout", "share of problems", (0.0, 1.0)),
    ("distinct_correct", "Distinct correct strategies per group", "strategies per problem", None),
)
TRAINING = (
    ("reward_mean", "Mean reward", "reward", None),
    ("entropy", "Entropy of the sampled tokens", "nats per token", None),
    ("clip_fraction", "Share of clipped tokens", "share of tokens", None),
    ("mismatch_kl", "Sampler against trainer (KL)", "nats per token", None),
    ("tokens_per_second", "Sampling speed", "tokens per second", None),
)
_Spec = tuple[str, str, str, tuple[float, float] | None]


def pass_at_k_chart(metrics: Mapping[str, tuple[int, Mapping[str, Any]]]) -> Chart | None:
    """pass@k with intervals; ``metrics`` maps a run's label to its style and metrics.json. None: nothing measured."""
    series = []
    for label, (style, document) in metrics.items():
        points = [
            Point(int(name.removeprefix("pass@")), entry["value"], entry.get("low"), entry.get("high"))
            for name, entry in document.items()
            if name.startswith("pass@")
            and name[5:].isdigit()
            and isinstance(entry, dict)
            and _finite(entry.get("value"))
        ]
        if points:
            series.append(Series(label, style, sorted(points, key=lambda point: point.x)))
    if not series:
        return None
    stated = [document["confidence"] for _, document in metrics.values() if "confidence" in document]
    confidence = stated[0] if stated and _finite(stated[0]) else 0.95
    note = f"Mean over the problems of the test split; bands are {confidence:.0%} intervals over problems."
    x_label = "k: samples drawn per problem (logarithmic)"
    return Chart("pass-at-k", "pass@k", note, x_label, "pass@k", series, log_x=True, y_range=(0.0, 1.0))


def training_charts(trainings: Mapping[str, tuple[int, Training]], specs: Sequence[_Spec]) -> list[Chart]:
    """One chart per metric that at least one run has; ``trainings`` maps a run's label to its style and training."""
    charts = []
    for name, title, unit, y_range in specs:
        lines = {label: (style, _values(t.iterations, name)) for label, (style, t) in trainings.items()}
        series = [Series(label, style, _thinned(points)) for label, (style, points) in lines.items() if points]
        if series:
            longest = max(len(points) for _, points in lines.values())
            note = _thinning_note(longest) if longest > _POINTS else "One value per iteration."
            charts.append(Chart(f"train-{name}", title, note, _ITERATION, unit, series, y_range=y_range))
    return charts


def validation_chart(trainings: Mapping[str, tuple[int, Training]]) -> Chart | None:
    """Distinct correct strategies on the validation split over training."""
    series = []
    for label, (style, training) in trainings.items():
        points = _values(training.evaluations, "distinct_correct")
        if points:
            series.append(Series(label, style, _thinned(points)))
    if not series:
        return None
    note = "Expected number of distinct correct strategies among the samples of a validation problem."
    title = "Distinct correct strategies, validation split"
    return Chart("validation-distinct", title, note, _ITERATION, "strategies per problem", series)


_Values = tuple[int, float, float | None, float | None]


def _values(records: Sequence[Mapping[str, Any]], name: str) -> list[_Values]:
    """Iteration, value and interval of each record that has the metric; tuples, for there are tens of thousands."""
    values: list[_Values] = []
    for record in records:
        found = record.get(name)
        if isinstance(found, dict):
            if _finite(found.get("value")):
                values.append((record["iteration"], found["value"], found.get("low"), found.get("high")))
        elif found is not None and _finite(found):
            values.append((record["iteration"], found, None, None))
    return values


def _thinned(values: list[_Values]) -> list[Point]:
    """At most 100 points: means of neighbours, with the range of each bucket as its band."""
    if len(values) <= _POINTS:
        return [Point(*value) for value in values]
    size = math.ceil(len(values) / _POINTS)
    points = []
    for start in range(0, len(values), size):
        bucket = values[start : start + size]
        heights = [value[1] for value in bucket]
        points.append(Point(bucket[len(bucket) // 2][0], sum(heights) / len(heights), min(heights), max(heights)))
    return points


def _thinning_note(longest: int) -> str:
    return f"Means of {math.ceil(longest / _POINTS)} neighbouring iterations; bands are the range within them."


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
