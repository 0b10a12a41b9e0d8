from __future__ import annotations

from pathlib import Path

import pytest

from components.evaluation.figures import (
    draw_branching,
    draw_coverage,
    draw_differences,
    draw_distinct,
    draw_pass_at_k,
    draw_strategies,
    save_figure,
)
from components.evaluation.plot_data import Row, coverage_rows
from components.evaluation.results import History
from components.evaluation.theme import DARK, LIGHT, Theme

NAMES = ["base", "grpo", "poly_epo", "grpo_div", "rloo", "maxrl", "mine"]


def curves(names: list[str]) -> list[Row]:
    return [{"model": n, "k": k, "value": 0.5, "low": 0.4, "high": 0.6} for n in names for k in (1, 2, 8)]


def test_every_model_can_be_told_apart_without_colour() -> None:
    axes = draw_pass_at_k(curves(NAMES), "subtitle").axes[0]
    looks = [(line.get_marker(), repr(line._unscaled_dash_pattern)) for line in axes.lines]  # type: ignore[attr-defined]
    assert len(set(looks)) == len(NAMES)
    assert len({line.get_color() for line in axes.lines}) == len(NAMES)


def test_the_figure_says_what_it_shows() -> None:
    axes = draw_pass_at_k(curves(["base", "poly_epo"]), "81 problems").axes[0]
    assert axes.get_title(loc="left") == "pass@k on held-out problems"
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "8"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("k: samples drawn per problem", "pass@k")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["base", "Poly-EPO"]
    assert [text.get_text() for text in axes.texts] == ["81 problems"]
    assert len(axes.collections) == 2  # one band a model


@pytest.mark.parametrize("top", [0.2, 1.0, 9.0])
def test_the_axis_of_distinct_strategies_starts_at_zero_and_holds_the_data(top: float) -> None:
    axes = draw_distinct([{"model": "grpo", "iteration": 0, "value": top}], "").axes[0]
    low, high = axes.get_ylim()
    assert low == 0.0
    assert high > top


def test_smoothing_is_a_centred_mean_of_five() -> None:
    values = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    history = History("grpo", [{"iteration": i + 1, "coverage": v} for i, v in enumerate(values)], [])
    rows = coverage_rows([history])
    assert [row["value"] for row in rows] == values
    assert [row["smoothed"] for row in rows] == pytest.approx([1 / 3, 0.5, 0.4, 0.6, 0.5, 2 / 3])
    axes = draw_coverage(rows, "").axes[0]
    assert list(axes.lines[0].get_ydata()) == [row["smoothed"] for row in rows]


def test_no_time_stamp_and_no_version_is_in_the_files(tmp_path: Path) -> None:
    save_figure(draw_pass_at_k(curves(["base"]), ""), tmp_path / "figure")
    svg = (tmp_path / "figure.svg").read_text()
    assert "<dc:date>" not in svg
    assert "<dc:creator>" not in svg
    assert b"Software" not in (tmp_path / "figure.png").read_bytes()


def test_differences_show_every_pair_with_its_interval_around_zero() -> None:
    entry = {"value": 0.1, "low": -0.05, "high": 0.2, "probability": 0.9}
    rows = [
        {"pair": f"{c} - {b}", "baseline": b, "candidate": c, "k": k, **entry}
        for b, c in (("base", "grpo"), ("base", "poly_epo"), ("grpo", "poly_epo"))
        for k in (1, 8)
    ]
    axes = draw_differences(rows, "").axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["GRPO - base", "Poly-EPO - base", "Poly-EPO - GRPO"]
    assert len(axes.containers) == 3
    assert list(axes.lines[0].get_ydata()) == [0.0, 0.0]  # the line of no difference
    places = [container.lines[0].get_xdata()[0] for container in axes.containers]  # type: ignore[attr-defined]
    assert len(set(places)) == 3


def test_strategies_tell_counted_from_effective_by_the_fill() -> None:
    rows = [
        {"model": model, "metric": metric, "value": 3.0, "low": 2.0, "high": 4.0}
        for model in ("base", "poly_epo")
        for metric in ("distinct_correct", "effective_correct")
    ]
    axes = draw_strategies(rows, "").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Poly-EPO", "base"]
    faces = [container.lines[0].get_markerfacecolor() for container in axes.containers]  # type: ignore[attr-defined]
    assert faces == ["#000000", LIGHT.background, "#0072B2", LIGHT.background]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_line_stands_out_from_its_background(theme: Theme) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    rows = [{"model": n, "position": t, "value": 2.0, "low": 1.0, "high": 3.0} for n in NAMES for t in (1, 4)]
    figure = draw_branching(rows, "", theme)
    ground = luminance(theme.background)
    for line in figure.axes[0].lines:
        shades = sorted([luminance(str(line.get_color())), ground])
        assert (shades[1] + 0.05) / (shades[0] + 0.05) >= 2.0
    assert len({line.get_color() for line in figure.axes[0].lines}) == len(NAMES)
