"""User set functions: enumeration, sampling and what their faults look like."""

import numpy as np
import pytest

from components.objectives import ObjectiveError, get_objective
from components.objectives.sets import all_sets, sampled_sets, sets_needed

REWARDS = np.array([[1.0, 0, 0, 1], [0, 0, 1, 0]])
CLUSTERS = np.array([[0, 1, 1, -1], [0, 2, 3, 3]])


def fails_on_two_correct(rewards, clusters):
    if rewards.sum() == 2:
        raise KeyError("boom")
    return 0.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (fails_on_two_correct, r"prompt 0, set with rewards \[1.0, 1.0\] and clusters \[0, -1\]: .* KeyError: 'boom'"),
        (lambda r, c: r, r"prompt 0, set with .*: the set function must return one finite number \(got array"),
        (lambda r, c: None, r"must return one finite number"),
        (lambda r, c: "1.0", r"must return one finite number \(got '1.0'\)"),
        (lambda r, c: float("nan"), r"must return one finite number \(got nan\)"),
        (lambda r: 1.0, r"raised TypeError"),
    ],
)
def test_faults_name_prompt_and_set(function, message):
    with pytest.raises(ObjectiveError, match=message):
        get_objective("set_function", function=function, set_size=2).advantages(REWARDS, CLUSTERS)


def test_the_prompt_is_named_by_its_place_in_a_ragged_batch():
    mask = np.array([[True] * 4, [True, True, True, False]])
    objective = get_objective("set_function", function=lambda r, c: float("inf") if 2 in c else 0, set_size=2)
    with pytest.raises(ObjectiveError, match=r"prompt 1, set"):
        objective.advantages(REWARDS, CLUSTERS, mask)


def test_too_many_sets_and_too_few_samples_say_how_many():
    rewards, clusters = np.zeros((1, 64)), np.zeros((1, 64), int)
    with pytest.raises(
        ObjectiveError, match=r"prompt 0: 488526937079580 sets are more than .* set samples, at least 17"
    ):
        get_objective("set_function", function=max, set_size=16).advantages(rewards, clusters)
    with pytest.raises(ObjectiveError, match=r"hold every one of 64 .*\(got 16\) -> samples must be at least 17"):
        get_objective("set_function", function=max, set_size=16, samples=16).advantages(rewards, clusters)
    enough = get_objective("set_function", function=lambda r, c: 1.0, set_size=16, samples=17)
    assert (enough.set_scores(rewards, clusters) == 1.0).all()


def test_sampling_depends_on_seed_and_prompt_alone():
    rewards = np.random.default_rng(0).random((3, 20))
    clusters = np.zeros((3, 20), int)

    def scores(seed, rows=slice(None)):
        objective = get_objective("set_function", function=lambda r, c: r.max(), set_size=5, samples=13, seed=seed)
        return objective.set_scores(rewards[rows], clusters[rows])

    np.testing.assert_array_equal(scores(1), scores(1))
    np.testing.assert_array_equal(scores(1)[:1], scores(1, slice(0, 1)))
    assert np.abs(scores(1) - scores(2)).max() > 0


def test_as_many_samples_as_sets_is_enumeration():
    sampled = get_objective("set_function", function=lambda r, c: r.max(), set_size=2, samples=6)
    expected = get_objective("pass_at_n", set_size=2).advantages(REWARDS, CLUSTERS)
    np.testing.assert_allclose(sampled.advantages(REWARDS, CLUSTERS), expected, atol=1e-15)


@pytest.mark.parametrize(("size", "n", "samples"), [(8, 4, 5), (8, 4, 69), (64, 16, 17), (64, 63, 30), (5, 1, 12)])
def test_sampled_sets_are_distinct_sorted_and_hold_everyone(size, n, samples):
    samples = min(samples, len(all_sets(size, n))) if n in (1, 4, 63) else samples
    for seed in range(20):
        members = sampled_sets(size, n, samples, np.random.default_rng(seed))
        assert members.shape == (samples, n)
        assert len(np.unique(members, axis=0)) == samples
        assert (np.diff(members, axis=1) > 0).all()
        assert set(members.ravel().tolist()) == set(range(size))


@pytest.mark.parametrize(("size", "n"), [(8, 4), (16, 4), (64, 16), (64, 63), (1024, 2)])
def test_sets_needed_meets_its_bound_and_one_less_does_not(size, n):
    needed = sets_needed(size, n)
    assert size * (1 - n / size) ** needed <= 0.5 + 1e-12
    assert size * (1 - n / size) ** (needed - 1) > 0.5
