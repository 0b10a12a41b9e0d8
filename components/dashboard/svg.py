"""Line charts as accessible SVG: no library, no style attributes, colours and dark mode from the style sheet.

Series differ by colour (Okabe and Ito), dash and marker, so that they read in greyscale too. A chart has a title and
a description for screen readers; the page shows the numbers in a table behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from markupsafe import Markup, escape

__all__ = ["STYLES", "Chart", "Point", "Series", "key", "line_chart", "number", "ticks", "value_table"]

STYLES = 8
"""Series that can be told apart; further ones repeat."""

_WIDTH, _HEIGHT = 560.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 42.0  # the left margin at least
_LABEL, _DIGIT = 28.0, 6.5  # room of the y axis' label, and of one character of a tick
_MARKERS = 9  # markers on a line at most: more would hide it
_SHAPES = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z",
    "M-3.2-3.2H3.2V3.2H-3.2Z",
    "M0-4.2L4 3.2H-4Z",
    "M0-4.5L4 0L0 4.5L-4 0Z",
    "M0 4.2L4-3.2H-4Z",
    "M-1.2-4H1.2V-1.2H4V1.2H1.2V4H-1.2V1.2H-4V-1.2H-1.2Z",
    "M-4-2.4L-2.4-4L0-1.6L2.4-4L4-2.4L1.6 0L4 2.4L2.4 4L0 1.6L-2.4 4L-4 2.4L-1.6 0Z",
    "M0-4.4L1.3-1.3L4.4 0L1.3 1.3L0 4.4L-1.3 1.3L-4.4 0L-1.3-1.3Z",
)


@dataclass(frozen=True)
class Point:
    """One value, with the ends of its band where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """A line; ``style`` (0 to 7) is the same for one run in every chart of a page."""

    name: str
    style: int
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        id: unique on the page.
        title, note: what is shown, and how to read it.
        x_label, y_label: with units.
        series: lines with at least one point.
        log_x: powers of two at equal distances.
        y_range: fixed ends of the y axis, e.g. (0, 1) for a share.
    """

    id: str
    title: str
    note: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    y_range: tuple[float, float] | None = None

    @cached_property
    def svg(self) -> Markup:
        """The drawing, made once."""
        return line_chart(self)

    @cached_property
    def table(self) -> Markup:
        """The numbers behind it, made once."""
        return value_table(self)

    @property
    def has_bands(self) -> bool:
        """Whether any value has an interval."""
        return any(point.low is not None for series in self.series for point in series.points)


@dataclass
class _Frame:
    """From values to places in the drawing."""

    chart: Chart
    x_ticks: list[float] = field(default_factory=list)
    y_ticks: list[float] = field(default_factory=list)
    left: float = _LEFT

    def __post_init__(self) -> None:
        points = [point for series in self.chart.series for point in series.points]
        ends = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
        low, high = self.chart.y_range or (min(ends), max(ends))
        self.y_ticks = ticks(low, high)
        self.left = max(_LEFT, _LABEL + _DIGIT * max(len(number(tick)) for tick in self.y_ticks))
        self._y = (min(low, self.y_ticks[0]), max(high, self.y_ticks[-1]))
        xs = sorted({point.x for point in points})
        self.x_ticks = _few(xs) if self.chart.log_x else [t for t in ticks(xs[0], xs[-1]) if xs[0] <= t <= xs[-1]]
        self._x = (self._scaled(xs[0]), self._scaled(xs[-1]))

    def x(self, value: float) -> float:
        left, right = self._x
        share = (self._scaled(value) - left) / (right - left) if right > left else 0.5
        return self.left + 8 + share * (_WIDTH - self.left - _RIGHT - 16)

    def y(self, value: float) -> float:
        low, high = self._y
        share = (value - low) / (high - low) if high > low else 0.5
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def _scaled(self, value: float) -> float:
        return math.log2(value) if self.chart.log_x else value


def line_chart(chart: Chart) -> Markup:
    """The drawing; every text in it is escaped."""
    frame = _Frame(chart)
    name = escape(chart.id)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(chart.title)}</title>',
        f'<desc id="{name}-desc">{escape(_description(chart))}</desc>',
        *_axes(frame),
        *(_band(series, frame) for series in chart.series if chart.has_bands),
        *(_line(series, frame) for series in chart.series),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - numbers, fixed shapes, and texts escaped above


def value_table(chart: Chart) -> Markup:
    """The numbers behind a chart: one row per x, one column per series, bands in brackets."""
    columns = [{point.x: _cell(point) for point in series.points} for series in chart.series]
    heads = "".join(f'<th scope="col">{escape(series.name)}</th>' for series in chart.series)
    rows = [
        f'<tr><th scope="row">{number(x)}</th>{"".join(column.get(x, "<td></td>") for column in columns)}</tr>'
        for x in sorted({x for column in columns for x in column})
    ]
    return Markup(  # noqa: S704 - numbers, and names escaped above
        f'<table class="numbers"><caption>{escape(chart.y_label)}</caption><thead><tr>'
        f'<th scope="col">{escape(chart.x_label)}</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def key(style: int) -> Markup:
    """The piece of line with its marker that stands before a series' name in the legend."""
    shape = _SHAPES[style % STYLES]
    return Markup(  # noqa: S704 - fixed shapes
        f'<svg class="key" viewBox="0 0 32 12" aria-hidden="true"><path class="line s{style % STYLES}" d="M0 6H32"/>'
        f'<path class="mark s{style % STYLES}" transform="translate(16 6)" d="{shape}"/></svg>'
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``."""
    span = high - low
    if not span > 0:
        # One value alone: between 0 and twice as much of it.
        low, high = min(2 * low, 0.0), max(2 * high, 0.0) if high else 1.0
        span = high - low
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def number(value: float) -> str:
    """A number on an axis: short, without trailing zeros."""
    if abs(value) >= 10_000:
        return f"{value / 1000:,.4g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(point: Point) -> str:
    if point.low is None or point.high is None:
        return f"<td>{number(point.y)}</td>"
    return f"<td>{number(point.y)} [{number(point.low)}, {number(point.high)}]</td>"


def _axes(frame: _Frame) -> list[str]:
    left, bottom = frame.left, _HEIGHT - _BOTTOM
    parts = []
    for tick in frame.y_ticks:
        y = frame.y(tick)
        parts.append(f'<path class="grid" d="M{left:.0f} {y:.1f}H{_WIDTH - _RIGHT:.0f}"/>')
        parts.append(f'<text class="tick" x="{left - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    parts.append(f'<path class="axis" d="M{left:.0f} {bottom:.1f}H{_WIDTH - _RIGHT:.0f}"/>')
    for tick in frame.x_ticks:
        x = frame.x(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom:.1f}v4"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{number(tick)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{(left + _WIDTH) / 2:.0f}" y="{_HEIGHT - 6:.0f}" text-anchor="middle">'
        f"{escape(frame.chart.x_label)}</text>"
        f'<text class="label" transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(frame.chart.y_label)}</text>"
    )
    return parts


def _band(series: Series, frame: _Frame) -> str:
    known = [(p.x, p.low, p.high) for p in series.points if p.low is not None and p.high is not None]
    if len(known) < 2:
        return ""
    there = [f"{frame.x(x):.1f} {frame.y(high):.1f}" for x, _, high in known]
    back = [f"{frame.x(x):.1f} {frame.y(low):.1f}" for x, low, _ in reversed(known)]
    return f'<path class="band s{series.style % STYLES}" d="M{"L".join(there + back)}Z"/>'


def _line(series: Series, frame: _Frame) -> str:
    places = [(frame.x(point.x), frame.y(point.y)) for point in series.points]
    style = f"s{series.style % STYLES}"
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    every = max(math.ceil(len(places) / _MARKERS), 1)
    marks = "".join(
        f'<path class="mark {style}" transform="translate({x:.1f} {y:.1f})" d="{_SHAPES[series.style % STYLES]}"/>'
        for x, y in places[::every]
    )
    return f'<path class="line {style}" d="M{path}"/>{marks}'


def _description(chart: Chart) -> str:
    lines = [
        f"{series.name}: {number(series.points[0].y)} at {number(series.points[0].x)}, "
        f"{number(series.points[-1].y)} at {number(series.points[-1].x)}"
        for series in chart.series
    ]
    return f"{chart.note} {chart.y_label} against {chart.x_label}. {'; '.join(lines)}. The table below has every value."


def _few(values: list[float]) -> list[float]:
    """Powers of two among the values, or the values themselves when there are none."""
    return [value for value in values if value > 0 and math.log2(value).is_integer()] or values[:8]
