from __future__ import annotations

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.evaluation import bootstrap_interval, hierarchical_bootstrap

SETTINGS = {"draws": 4000, "confidence": 0.95, "seed": 0}


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    problems_P = rng.random(50)
    alike = np.clip(problems_P + rng.normal(0, 0.01, (5, 50)), 0, 1)
    apart = alike + np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    narrow, wide = hierarchical_bootstrap(alike, **SETTINGS), hierarchical_bootstrap(apart, **SETTINGS)
    over_problems = bootstrap_interval(alike.mean(axis=0), **SETTINGS)
    assert narrow.high - narrow.low == pytest.approx(over_problems.high - over_problems.low, rel=0.1)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    assert wide.value == pytest.approx(apart.mean())


def test_the_spread_is_that_of_seeds_and_problems_together() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 30)[:, None] + rng.normal(0, 2, 80)
    interval = hierarchical_bootstrap(values, draws=20_000, confidence=0.95, seed=0)
    variance = values.mean(axis=1).var(ddof=1) / 30 + values.mean(axis=0).var() / 80
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.sqrt(variance), rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_few_seeds_are_covered(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    hits = 0
    for trial in range(200):
        values = 0.5 + rng.normal(0, 0.1, seeds)[:, None] + rng.normal(0, 0.2, 60)
        interval = hierarchical_bootstrap(values, draws=500, confidence=0.9, seed=trial)
        hits += interval.low <= 0.5 <= interval.high
    assert hits / 200 >= 0.85


def test_the_ends_hold_the_interval() -> None:
    values = [[0.9, 1.0, 1.0], [0.2, 0.4, 0.9]]
    free = hierarchical_bootstrap(values, **SETTINGS)
    kept = hierarchical_bootstrap(values, **SETTINGS, ends=(0.0, 1.0))
    assert free.high > 1.0
    assert (kept.low, kept.high) == (0.0, 1.0)


def test_it_is_seeded_and_constant_values_have_no_width() -> None:
    values = np.random.default_rng(2).random((3, 10))
    assert hierarchical_bootstrap(values, **SETTINGS) == hierarchical_bootstrap(values, **SETTINGS)
    assert hierarchical_bootstrap(values, **{**SETTINGS, "seed": 1}) != hierarchical_bootstrap(values, **SETTINGS)
    flat = hierarchical_bootstrap(np.full((3, 4), 0.25), **SETTINGS)
    assert (flat.low, flat.value, flat.high) == pytest.approx((0.25, 0.25, 0.25))


def test_one_seed_has_the_interval_over_problems() -> None:
    values = np.random.default_rng(3).random(20)
    assert hierarchical_bootstrap([values], **SETTINGS) == bootstrap_interval(values, **SETTINGS)


@pytest.mark.parametrize("values", [[0.5, 0.5], [[]], [[0.5, float("nan")], [0.1, 0.2]]])
def test_values_without_a_mean_are_refused(values: list[object]) -> None:
    with pytest.raises(PolyEpoError, match="finite and \\(seeds, problems\\)"):
        hierarchical_bootstrap(values, **SETTINGS)
