"""The figures of a comparison, as PNG and SVG whose bytes depend on the data and the theme alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.evaluation.plot_data import Row
from components.evaluation.table import display_name
from components.evaluation.theme import LIGHT, Style, Theme, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_branching",
    "draw_coverage",
    "draw_differences",
    "draw_distinct",
    "draw_pass_at_k",
    "draw_strategies",
    "save_figure",
]

_STRATEGY_METRICS = {"distinct_correct": "counted", "effective_correct": "effective number (exp of entropy)"}


def draw_pass_at_k(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """pass@k against k (logarithmic) with the interval of each point as a band."""
    title = "pass@k on held-out problems"
    with _axes(title, subtitle, "k: samples drawn per problem", "pass@k", theme) as (figure, axes):
        _bands(axes, rows, "k", theme)
        axes.set_ylim(0.0, 1.03)
    return figure


def draw_branching(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """Distinct branches of the prefix tree against the token position (logarithmic), with intervals as bands."""
    title = "Where completions of one problem part"
    with _axes(title, subtitle, "token position", "distinct branches", theme) as (figure, axes):
        _bands(axes, rows, "position", theme)
        axes.set_ylim(bottom=0.0)
    return figure


def draw_differences(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """Paired differences of pass@k against k (logarithmic), each with its interval; zero is no difference."""
    title = "Differences of pass@k on the same problems"
    with _axes(title, subtitle, "k: samples drawn per problem", "difference of pass@k", theme) as (figure, axes):
        axes.axhline(0.0, color=theme.quiet, linewidth=1.0, zorder=1)
        groups = _groups(rows, "pair")
        # A pair looks like the model that it is about: the candidate, where each has its own.
        candidates = [points[0]["candidate"] for points in groups.values()]
        owners = candidates if len(set(candidates)) == len(candidates) else list(groups)
        looks = styles(owners, theme)
        for index, (owner, points) in enumerate(zip(owners, groups.values(), strict=True)):
            # Side by side, so that intervals of several pairs do not cover each other.
            shift = 2 ** (0.14 * (index - (len(groups) - 1) / 2))
            label = f"{display_name(points[0]['candidate'])} - {display_name(points[0]['baseline'])}"
            _intervals(axes, [row["k"] * shift for row in points], points, label, looks[owner])
        _powers(axes, sorted({row["k"] for row in rows}))
    return figure


def draw_strategies(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """Distinct correct strategies of each model, counted and as effective number, with intervals."""
    title = "Distinct correct strategies"
    with _axes(title, subtitle, "strategies per problem", "", theme) as (figure, axes):
        groups = _groups(rows, "model")
        looks = styles(list(groups), theme)
        labelled: set[str] = set()
        for place, (name, points) in enumerate(groups.items()):
            for row in points:
                shift = 0.11 if row["metric"] == "distinct_correct" else -0.11
                filled = row["metric"] == "distinct_correct"
                errors = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
                style = {key: looks[name][key] for key in ("color", "marker")}
                label = None if row["metric"] in labelled else _STRATEGY_METRICS[row["metric"]]
                labelled.add(row["metric"])
                face = style["color"] if filled else theme.background
                axes.errorbar(
                    row["value"],
                    len(groups) - 1 - place + shift,
                    xerr=errors,
                    markersize=7,
                    markerfacecolor=face,
                    markeredgecolor=style["color"],
                    elinewidth=1.6,
                    capsize=3,
                    linestyle="none",
                    label=label,
                    **style,
                )
        axes.set_yticks(range(len(groups)), [display_name(name) for name in reversed(groups)])
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_xlim(left=0.0)
    return figure


def draw_distinct(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """Distinct correct strategies against training iterations."""
    title = "Distinct correct strategies over training"
    with _axes(title, subtitle, "training iteration", "distinct correct strategies", theme) as (figure, axes):
        for name, points, style in _lines(rows, theme):
            iterations = [row["iteration"] for row in points]
            axes.plot(iterations, [row["value"] for row in points], label=display_name(name), **style)
        axes.set_ylim(bottom=0.0, top=1.08 * max([1.0, *(row["value"] for row in rows)]))
    return figure


def draw_coverage(rows: Sequence[Row], subtitle: str, theme: Theme = LIGHT) -> Figure:
    """Share of training problems with a correct rollout: the moving average, and each iteration behind it."""
    title = "Training problems with at least one correct rollout"
    with _axes(title, subtitle, "training iteration", "share of problems", theme) as (figure, axes):
        for name, points, style in _lines(rows, theme):
            iterations = [row["iteration"] for row in points]
            values = [row["value"] for row in points]
            axes.scatter(iterations, values, s=7, color=style["color"], alpha=0.3, linewidths=0)
            # Markers on some points only: sixty of them would hide the line.
            every = max(len(points) // 8, 1)
            smoothed = [row["smoothed"] for row in points]
            axes.plot(iterations, smoothed, label=display_name(name), markevery=every, **style)
        axes.set_ylim(0.0, 1.03)
    return figure


def save_figure(figure: Figure, stem: Path, theme: Theme = LIGHT) -> None:
    """Write ``stem``.png and ``stem``.svg; the same figure always gives the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only drawing needs it

    with rc_context(theme.settings):
        figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": None})
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


@contextmanager
def _axes(title: str, subtitle: str, x_label: str, y_label: str, theme: Theme) -> Iterator[tuple[Figure, Axes]]:
    """Empty axes in the house style; the legend is added when the block has drawn its lines."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only drawing needs it
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(theme.settings):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=22)
        axes.text(0.0, 1.025, subtitle, transform=axes.transAxes, fontsize=8.5, color=theme.quiet, va="bottom")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y" if y_label else "x", color=theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        yield figure, axes
        axes.legend(frameon=False, loc="best", handlelength=3.2, labelcolor=theme.text)


def _bands(axes: Axes, rows: Sequence[Row], key: str, theme: Theme) -> None:
    """A line with a band for each model, over powers of two."""
    for name, points, style in _lines(rows, theme):
        places = [row[key] for row in points]
        low, high = [row["low"] for row in points], [row["high"] for row in points]
        axes.fill_between(places, low, high, color=style["color"], alpha=theme.band, linewidth=0)
        axes.plot(places, [row["value"] for row in points], label=display_name(name), **style)
    _powers(axes, sorted({row[key] for row in rows}))


def _intervals(axes: Axes, places: Sequence[float], points: Sequence[Row], label: str, style: Style) -> None:
    """Points with error bars."""
    values = [row["value"] for row in points]
    below = [row["value"] - row["low"] for row in points]
    above = [row["high"] - row["value"] for row in points]
    look: dict[str, Any] = {**style, "linewidth": 0.9, "markersize": 6.0}
    axes.errorbar(places, values, yerr=[below, above], elinewidth=1.5, capsize=3, label=label, **look)


def _powers(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])


def _lines(rows: Sequence[Row], theme: Theme) -> list[tuple[str, list[Row], Style]]:
    """The rows of each model in order of appearance, with its style."""
    groups = _groups(rows, "model")
    looks = styles(list(groups), theme)
    return [(name, points, looks[name]) for name, points in groups.items()]


def _groups(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups
