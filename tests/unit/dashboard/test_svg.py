"""Charts are well-formed, escape their texts and put values where they belong."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from components.dashboard.svg import Chart, Point, Series, line_chart, number, ticks, value_table


def chart(*series: Series, log_x: bool = False, y_range: tuple[float, float] | None = None) -> Chart:
    return Chart("c", "Title <b>", "Note & more.", "x", "y", series, log_x=log_x, y_range=y_range)


def path_of(drawn: str, kind: str) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(drawn)
    path = next(e for e in root if e.get("class", "").startswith(kind))
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))]


def test_it_is_well_formed_and_named_for_screen_readers() -> None:
    root = ElementTree.fromstring(line_chart(chart(Series("<i>run</i>", 0, [Point(1, 2.0), Point(2, 3.0)]))))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "c-title c-desc"
    assert root[0].text == "Title <b>"
    assert "<i>run</i>: 2 at 1, 3 at 2" in (root[1].text or "")


def test_no_style_attribute_that_the_content_security_policy_would_refuse() -> None:
    assert "style=" not in line_chart(chart(Series("a", 0, [Point(1, 1.0, 0.5, 1.5), Point(2, 2.0, 1.5, 2.5)])))


def test_a_logarithmic_axis_puts_powers_of_two_at_equal_distances() -> None:
    places = path_of(line_chart(chart(Series("a", 0, [Point(k, 0.5) for k in (1, 2, 4, 8)]), log_x=True)), "line")
    steps = [round(b[0] - a[0], 0) for a, b in itertools.pairwise(places)]
    assert len(set(steps)) == 1


def test_higher_values_are_higher_up_and_the_band_encloses_the_line() -> None:
    drawn = line_chart(chart(Series("a", 0, [Point(0, 0.2, 0.1, 0.3), Point(1, 0.8, 0.7, 0.9)]), y_range=(0, 1)))
    (_, low), (_, high) = path_of(drawn, "line")
    band = [y for _, y in path_of(drawn, "band")]
    assert high < low
    assert min(band) < high < low < max(band)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-9, 1e9])
def test_one_value_alone_is_drawn(value: float) -> None:
    drawn = line_chart(chart(Series("a", 0, [Point(1, value)])))
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0), (-1, 1), (3, 3), (0.001, 0.0012), (-5e6, 1e7)])
def test_ticks_are_round_rising_and_enclose_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 9


def test_long_ticks_leave_the_axis_label_alone() -> None:
    svg = line_chart(chart(Series("a", 0, [Point(1, 5e-10), Point(2, 2.5e-9)])))
    labels = [text for text in ElementTree.fromstring(svg).iter() if text.get("text-anchor") == "end"]
    longest = max(labels, key=lambda text: len(text.text or ""))
    assert longest.text == "1.5e-09"
    assert float(longest.attrib["x"]) - 6 * len(longest.text) > 20  # the label's baseline is at 13


def test_numbers_are_short() -> None:
    assert [number(v) for v in (0.5, 1234.0, 25_000.0, 1e-5)] == ["0.5", "1,234", "25k", "1e-05"]


def test_the_table_has_every_value_and_leaves_gaps() -> None:
    table = value_table(
        chart(Series("a", 0, [Point(1, 0.5, 0.4, 0.6), Point(2, 0.7)]), Series("<b>", 1, [Point(2, 0.9)]))
    )
    assert "<td>0.5 [0.4, 0.6]</td><td></td>" in table
    assert "<td>0.7</td><td>0.9</td>" in table
    assert "&lt;b&gt;" in table
