"""All figures of a comparison, in both themes, with the data of each as CSV beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.evaluation.figures import (
    draw_branching,
    draw_coverage,
    draw_differences,
    draw_distinct,
    draw_pass_at_k,
    draw_strategies,
    save_figure,
)
from components.evaluation.plot_data import (
    Row,
    branching_rows,
    coverage_rows,
    difference_rows,
    distinct_rows,
    pass_at_k_rows,
    strategy_rows,
    write_csv,
)
from components.evaluation.results import Evaluation, History
from components.evaluation.table import interval_name
from components.evaluation.theme import DARK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_all"]

Draw = Callable[..., "Figure"]


def draw_all(
    directory: Path, evaluations: Sequence[Evaluation], histories: Sequence[History], document: Mapping[str, Any]
) -> None:
    """Write NAME.csv, figures/NAME.{png,svg} and figures/dark/NAME.{png,svg} into ``directory``.

    A figure is made where there is data for it: differences need two evaluations, what happened over training needs
    histories, branching needs token ids (imported samples have none).

    Args:
        document: table.json of the same evaluations.
    """
    (directory / "figures" / "dark").mkdir(parents=True)
    for name, (rows, draw, subtitle) in _figures(evaluations, histories, document).items():
        if rows:
            write_csv(directory / f"{name}.csv", rows)
            save_figure(draw(rows, subtitle, LIGHT), directory / "figures" / name, LIGHT)
            save_figure(draw(rows, subtitle, DARK), directory / "figures" / "dark" / name, DARK)


def _figures(
    evaluations: Sequence[Evaluation], histories: Sequence[History], document: Mapping[str, Any]
) -> dict[str, tuple[list[Row], Draw, str]]:
    said = document["conditions"]
    sampled = f"{said['problems']} problems, {said['samples']} samples each"
    intervals = f"{said['confidence']:.0%} {interval_name(said.get('interval'))} intervals over problems"
    counted = f"among {said['distinct_samples']} samples of each of {said['problems']} problems"
    return {
        "pass_at_k": (pass_at_k_rows(evaluations), draw_pass_at_k, f"{sampled}; bands: {intervals}"),
        "differences": (difference_rows(document), draw_differences, f"{sampled}; bars: paired {intervals}"),
        "strategies": (
            strategy_rows(evaluations),
            draw_strategies,
            f"counted {counted}; bars: {said['confidence']:.0%} intervals",
        ),
        "branching": (branching_rows(evaluations), draw_branching, f"{counted}; bands: {intervals}"),
        "distinct_correct": (
            distinct_rows(histories),
            draw_distinct,
            "mean per validation problem, among the samples of each evaluation",
        ),
        "coverage": (
            coverage_rows(histories),
            draw_coverage,
            "lines: moving average over 5 iterations; dots: the rollouts of each iteration",
        ),
    }
