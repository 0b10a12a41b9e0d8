"""The figures of a comparison, as PNG and SVG whose bytes depend on the data alone.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; each model also has its own marker
and line style, so that the figures read in greyscale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.evaluation.plot_data import Row
from components.evaluation.table import display_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_coverage", "draw_distinct", "draw_pass_at_k", "save_figure"]

_Style = dict[str, Any]

_KNOWN_STYLES: dict[str, _Style] = {
    "base": {"color": "#000000", "marker": "o", "linestyle": (0, (1, 1.6))},
    "grpo": {"color": "#D55E00", "marker": "s", "linestyle": (0, (5, 2))},
    "poly_epo": {"color": "#0072B2", "marker": "^", "linestyle": "-"},
}
_OTHER_STYLES: list[_Style] = [
    {"color": "#009E73", "marker": "D", "linestyle": (0, (7, 2, 1.5, 2))},
    {"color": "#CC79A7", "marker": "v", "linestyle": (0, (3, 1.5))},
    {"color": "#E69F00", "marker": "P", "linestyle": (0, (7, 2, 1.5, 2, 1.5, 2))},
    {"color": "#56B4E9", "marker": "X", "linestyle": (0, (2, 2))},
]
_TEXT, _QUIET = "#222222", "#666666"
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.8,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "svg.hashsalt": "poly-epo",
    "svg.fonttype": "path",
}


def draw_pass_at_k(rows: Sequence[Row], subtitle: str) -> Figure:
    """pass@k against k (logarithmic) with the interval of each point as a band."""
    with _axes("pass@k on held-out problems", subtitle, "k: samples drawn per problem", "pass@k") as (figure, axes):
        for (name, points), style in _lines(rows):
            ks = [row["k"] for row in points]
            low, high = [row["low"] for row in points], [row["high"] for row in points]
            axes.fill_between(ks, low, high, color=style["color"], alpha=0.13, linewidth=0)
            axes.plot(ks, [row["value"] for row in points], label=display_name(name), **style)
        axes.set_xscale("log", base=2)
        ticks = sorted({row["k"] for row in rows})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_ylim(0.0, 1.03)
    return figure


def draw_distinct(rows: Sequence[Row], subtitle: str) -> Figure:
    """Distinct correct strategies against training iterations."""
    title = "Distinct correct strategies over training"
    with _axes(title, subtitle, "training iteration", "distinct correct strategies") as (figure, axes):
        for (name, points), style in _lines(rows):
            iterations = [row["iteration"] for row in points]
            axes.plot(iterations, [row["value"] for row in points], label=display_name(name), **style)
        axes.set_ylim(bottom=0.0, top=1.08 * max([1.0, *(row["value"] for row in rows)]))
    return figure


def draw_coverage(rows: Sequence[Row], subtitle: str) -> Figure:
    """Share of training problems with a correct rollout: the moving average, and each iteration behind it."""
    title = "Training problems with at least one correct rollout"
    with _axes(title, subtitle, "training iteration", "share of problems") as (figure, axes):
        for (name, points), style in _lines(rows):
            iterations = [row["iteration"] for row in points]
            values = [row["value"] for row in points]
            axes.scatter(iterations, values, s=7, color=style["color"], alpha=0.3, linewidths=0)
            # Markers on some points only: sixty of them would hide the line.
            every = max(len(points) // 8, 1)
            smoothed = [row["smoothed"] for row in points]
            axes.plot(iterations, smoothed, label=display_name(name), markevery=every, **style)
        axes.set_ylim(0.0, 1.03)
    return figure


def save_figure(figure: Figure, stem: Path) -> None:
    """Write ``stem``.png and ``stem``.svg; the same figure always gives the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only drawing needs it

    with rc_context(_SETTINGS):
        figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": None})
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


@contextmanager
def _axes(title: str, subtitle: str, x_label: str, y_label: str) -> Iterator[tuple[Figure, Axes]]:
    """Empty axes in the house style; the legend is added when the block has drawn its lines."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only drawing needs it
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=22)
        axes.text(0.0, 1.025, subtitle, transform=axes.transAxes, fontsize=8.5, color=_QUIET, va="bottom")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        yield figure, axes
        axes.legend(frameon=False, loc="best", handlelength=3.2)


def _lines(rows: Sequence[Row]) -> list[tuple[tuple[str, list[Row]], _Style]]:
    """The rows of each model in order of appearance, with its style."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["model"], []).append(row)
    others = iter(_OTHER_STYLES * len(groups))
    shape = {"linewidth": 1.8, "markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.7}
    return [(group, {**shape, **(_KNOWN_STYLES.get(group[0]) or next(others))}) for group in groups.items()]
