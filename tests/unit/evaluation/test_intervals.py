from __future__ import annotations

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.evaluation import bootstrap_interval, intervals, paired_bootstrap

SETTINGS = {"draws": 2000, "confidence": 0.95, "seed": 0}


def test_the_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    interval = bootstrap_interval(values, **SETTINGS)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.002)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.002)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.random(50) < 0.4, draws=400, confidence=0.9, seed=trial)
        hits += interval.low <= 0.4 <= interval.high
    assert 0.84 <= hits / 300 <= 0.95


def test_the_same_seed_gives_the_same_interval_however_it_is_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(30)
    whole = bootstrap_interval(values, **SETTINGS)
    monkeypatch.setattr(intervals, "_CELLS", 7 * 30)
    assert bootstrap_interval(values, **SETTINGS) == whole
    assert bootstrap_interval(values, **{**SETTINGS, "seed": 1}) != whole


def test_constant_values_have_no_width() -> None:
    assert bootstrap_interval([1.0] * 5, **SETTINGS).as_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_pairing_cancels_how_hard_the_problems_are() -> None:
    rng = np.random.default_rng(4)
    hard = rng.random(60)
    better = hard + 0.05 + rng.normal(0, 0.01, 60)
    difference = paired_bootstrap(hard, better, **SETTINGS)
    assert difference.value == pytest.approx(0.05, abs=0.01)
    assert 0.04 < difference.low < difference.high < 0.06
    assert difference.probability == 1.0
    assert bootstrap_interval(hard, **SETTINGS).high > bootstrap_interval(better, **SETTINGS).low  # unpaired: overlap
    assert set(difference.as_dict()) == {"value", "low", "high", "probability"}


def test_no_difference_is_a_coin_toss_and_the_sides_are_symmetric() -> None:
    values = np.random.default_rng(5).random(20)
    assert paired_bootstrap(values, values, **SETTINGS).probability == 0.5
    other = np.random.default_rng(6).random(20)
    there, back = paired_bootstrap(values, other, **SETTINGS), paired_bootstrap(other, values, **SETTINGS)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.probability == pytest.approx(1 - back.probability)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(PolyEpoError, match="one finite value per problem"):
        bootstrap_interval(values, **SETTINGS)


def test_other_problems_cannot_be_paired() -> None:
    with pytest.raises(PolyEpoError, match="the same problems on both sides"):
        paired_bootstrap([1.0], [1.0, 2.0], **SETTINGS)
