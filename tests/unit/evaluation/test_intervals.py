from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.evaluation import bootstrap_interval, paired_bootstrap, resampling
from components.evaluation.intervals import Method, bootstrap_intervals, paired_bootstraps

SETTINGS = {"draws": 2000, "confidence": 0.95, "seed": 0}
METHODS: list[Method] = ["bayesian", "percentile", "bca"]


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_is_near_the_normal_one(method: Method) -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    interval = bootstrap_interval(values, **SETTINGS, method=method)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.002)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.002)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_the_truth_about_as_often_as_they_say(method: Method) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.random(50) < 0.4, draws=400, confidence=0.9, seed=trial, method=method)
        hits += interval.low <= 0.4 <= interval.high
    assert 0.84 <= hits / 300 <= 0.95


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_interval_however_it_is_chunked(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(3).random(30)
    whole = bootstrap_interval(values, **SETTINGS, method=method)
    assert bootstrap_interval(values, **{**SETTINGS, "seed": 1}, method=method) != whole
    monkeypatch.setattr(resampling, "_CELLS", 7 * 30)
    again = bootstrap_interval(values, **SETTINGS, method=method)
    assert (again.value, again.low, again.high) == pytest.approx((whole.value, whole.low, whole.high), abs=1e-12)


def test_many_metrics_at_once_give_what_each_gives_alone() -> None:
    values = np.random.default_rng(7).random((40, 3))
    ends = [(0.0, 1.0), None, (-1.0, 2.0)]
    for method in METHODS:
        together = bootstrap_intervals(values, **SETTINGS, method=method, ends=ends)
        for interval, column, pair in zip(together, values.T, ends, strict=True):
            alone = bootstrap_interval(column, **SETTINGS, method=method, ends=pair)
            assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


@pytest.mark.parametrize("right", [0, 1, 7, 19, 20])
def test_for_zeros_and_ones_the_bayesian_interval_is_that_of_jeffreys(right: int) -> None:
    values = np.arange(20) < right
    interval = bootstrap_interval(values, draws=200_000, confidence=0.95, seed=0, ends=(0.0, 1.0))
    beta = np.random.default_rng(1).beta(right + 0.5, 20 - right + 0.5, 400_000)
    low, high = np.quantile(beta, [0.025, 0.975])
    assert interval.low == pytest.approx(0.0 if right == 0 else low, abs=0.004)
    assert interval.high == pytest.approx(1.0 if right == 20 else high, abs=0.004)


def test_bca_corrects_for_skewness() -> None:
    values = np.random.default_rng(8).exponential(size=60)
    percentile, bca = (bootstrap_interval(values, **SETTINGS, method=m) for m in ("percentile", "bca"))
    assert bca.low > percentile.low
    assert bca.high > percentile.high
    mirrored = bootstrap_interval(-values, **SETTINGS, method="bca")
    assert (mirrored.low, mirrored.high) == pytest.approx((-bca.high, -bca.low), abs=1e-9)


def test_bca_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(9).gamma(0.7, size=50)
    ours = bootstrap_interval(values, draws=40_000, confidence=0.95, seed=0, method="bca")
    theirs = stats.bootstrap((values,), np.mean, n_resamples=40_000, method="BCa", random_state=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [[0.3], [0.0, 0.0, 1.0], [1.0] * 9, [0.0] * 400 + [1.0]])
def test_the_interval_holds_its_value(method: Method, values: list[float]) -> None:
    interval = bootstrap_interval(values, **SETTINGS, method=method, ends=(0.0, 1.0))
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_constant_values_have_no_width() -> None:
    for method in METHODS:
        interval = bootstrap_interval([1.0] * 5, **SETTINGS, method=method)
        assert interval.as_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}
    # Five of five right, and other problems may be wrong: what the ends are for.
    assert bootstrap_interval([1.0] * 5, **SETTINGS, ends=(0.0, 1.0)).low < 0.7


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


@pytest.mark.parametrize("method", METHODS)
def test_no_difference_is_a_coin_toss_and_the_sides_are_symmetric(method: Method) -> None:
    values = np.random.default_rng(5).random(20)
    same = paired_bootstrap(values, values, **SETTINGS, method=method)
    assert (same.low, same.high, same.probability) == (0.0, 0.0, 0.5)
    other = np.random.default_rng(6).random(20)
    there = paired_bootstrap(values, other, **SETTINGS, method=method)
    back = paired_bootstrap(other, values, **SETTINGS, method=method)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.probability == pytest.approx(1 - back.probability)


def test_many_paired_differences_at_once_give_what_each_gives_alone() -> None:
    baseline, candidate = np.random.default_rng(10).random((2, 25, 3))
    candidate[:, 2] -= 0.3
    for method in METHODS:
        together = paired_bootstraps(baseline, candidate, **SETTINGS, method=method)
        for found, a, b in zip(together, baseline.T, candidate.T, strict=True):
            alone = paired_bootstrap(a, b, **SETTINGS, method=method)
            assert astuple(found) == pytest.approx(astuple(alone), abs=1e-12)


def test_one_better_problem_among_many_equal_ones_is_no_proof() -> None:
    baseline = np.zeros(30)
    candidate = baseline.copy()
    candidate[:4] = 0.5
    # No resample of these differences is below zero, and few are zero: the bootstrap alone is sure of the gain.
    assert paired_bootstrap(baseline, candidate, **SETTINGS, method="percentile").probability > 0.98
    assert paired_bootstrap(baseline, candidate, **SETTINGS).low < 0.02
    candidate[1:4] = 0.0
    assert paired_bootstrap(baseline, candidate, **SETTINGS).low < 0.0


def test_values_outside_their_ends_are_refused() -> None:
    with pytest.raises(PolyEpoError, match="outside the ends"):
        bootstrap_interval([0.5, 1.5], **SETTINGS, ends=(0.0, 1.0))
    with pytest.raises(PolyEpoError, match="finite value of each metric"):
        bootstrap_intervals(np.zeros((0, 2)), **SETTINGS)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(PolyEpoError, match="one finite value per problem"):
        bootstrap_interval(values, **SETTINGS)


def test_other_problems_cannot_be_paired() -> None:
    with pytest.raises(PolyEpoError, match="the same problems on both sides"):
        paired_bootstrap([1.0], [1.0, 2.0], **SETTINGS)
