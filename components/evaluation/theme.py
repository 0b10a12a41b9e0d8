"""How figures look: a light and a dark theme, and a style for each model that reads without colour.

Colours are those of Okabe and Ito, which colour-blind readers tell apart (lighter on the dark theme where they would
drown); each model also has its own marker and line style, so that the figures read in greyscale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DARK", "LIGHT", "Theme", "styles"]

Style = dict[str, Any]

_KNOWN: dict[str, Style] = {
    "base": {"color": "#000000", "marker": "o", "linestyle": (0, (1, 1.6))},
    "grpo": {"color": "#D55E00", "marker": "s", "linestyle": (0, (5, 2))},
    "poly_epo": {"color": "#0072B2", "marker": "^", "linestyle": "-"},
}
_OTHERS: list[Style] = [
    {"color": "#009E73", "marker": "D", "linestyle": (0, (7, 2, 1.5, 2))},
    {"color": "#CC79A7", "marker": "v", "linestyle": (0, (3, 1.5))},
    {"color": "#E69F00", "marker": "P", "linestyle": (0, (7, 2, 1.5, 2, 1.5, 2))},
    {"color": "#56B4E9", "marker": "X", "linestyle": (0, (2, 2))},
]


@dataclass(frozen=True)
class Theme:
    """Colours of everything but the models; ``recolour`` maps a model's light colour to this theme's."""

    name: str
    background: str
    text: str
    quiet: str
    edge: str
    grid: str
    band: float
    recolour: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Any:
        """matplotlib's settings."""
        return {
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
            "font.size": 10,
            "figure.facecolor": self.background,
            "savefig.facecolor": self.background,
            "axes.facecolor": self.background,
            "text.color": self.text,
            "axes.labelcolor": self.text,
            "axes.edgecolor": self.edge,
            "axes.linewidth": 0.8,
            "xtick.color": self.text,
            "ytick.color": self.text,
            "svg.hashsalt": "poly-epo",
            "svg.fonttype": "path",
        }


LIGHT = Theme("light", "#FFFFFF", "#222222", "#666666", "#999999", "#E6E6E6", 0.13)
DARK = Theme(
    "dark",
    "#14171C",
    "#E6E6E6",
    "#A6A6A6",
    "#70757D",
    "#2C323A",
    0.22,
    {
        "#000000": "#F2F2F2",
        "#D55E00": "#FF8A3D",
        "#0072B2": "#4FA8E8",
        "#009E73": "#2FC99B",
        "#CC79A7": "#E59BC3",
        "#E69F00": "#F3BE4C",
        "#56B4E9": "#9AD4F7",
    },
)


def styles(names: Sequence[str], theme: Theme) -> dict[str, Style]:
    """A style for each model: its own where it is a known one, else the next of the others."""
    others = iter(_OTHERS * max(len(names), 1))
    shape = {"linewidth": 1.8, "markersize": 5.5, "markeredgecolor": theme.background, "markeredgewidth": 0.7}
    chosen = {name: {**shape, **(_KNOWN.get(name) or next(others))} for name in dict.fromkeys(names)}
    for style in chosen.values():
        style["color"] = theme.recolour.get(style["color"], style["color"])
    return chosen
