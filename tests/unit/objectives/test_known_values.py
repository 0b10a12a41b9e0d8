"""Values worked out by hand, one objective at a time."""

import numpy as np
import pytest

from components.objectives import get_objective, known_objectives
from components.objectives.diagnostics import diagnose


def advantages(name, rewards, clusters, **params):
    return get_objective(name, **params).advantages([rewards], [clusters])[0]


def test_grpo_with_and_without_the_standard_deviation():
    np.testing.assert_allclose(advantages("grpo", [1, 0, 0, 1], [0] * 4), [0.5, -0.5, -0.5, 0.5])
    scaled = advantages("grpo", [1, 0, 0, 1], [0] * 4, standardize=True)
    np.testing.assert_allclose(scaled, [1, -1, -1, 1], rtol=1e-5)
    assert (advantages("grpo", [0.7] * 4, [0] * 4, standardize=True) == 0).all()


def test_rloo_and_maxrl():
    np.testing.assert_allclose(advantages("rloo", [1, 0, 0, 1], [0] * 4), [2 / 3, -2 / 3, -2 / 3, 2 / 3])
    np.testing.assert_allclose(advantages("maxrl", [1, 0, 0, 0], [0] * 4), [3, -1, -1, -1])
    assert (advantages("maxrl", [0, 0, 0], [0, 1, 2]) == 0).all()


def test_grpo_div_pays_for_rarity_and_nothing_for_degenerates():
    scores = get_objective("grpo_div", diversity_weight=0.5).set_scores([[1, 1, 0, 0]], [[7, 7, 9, -1]])[0]
    np.testing.assert_allclose(scores, [1 + 0.5 / 3, 1 + 0.5 / 3, 0.5, 0.0])


def test_pass_at_n_for_binary_rewards_is_one_or_the_chance_of_a_correct_partner():
    scores = get_objective("pass_at_n", set_size=4).set_scores([[1, 1, 0, 0, 0, 0, 0, 0]], [[0] * 8])[0]
    np.testing.assert_allclose(scores, [1, 1] + [1 - 10 / 35] * 6)


def test_pkpo_gives_the_papers_weights_for_binary_rewards():
    # Correct: k/n. Wrong: k/n times the pass@(k-1) estimate among the others.
    weights = advantages("pkpo", [1, 0, 0, 0], [0] * 4, set_size=2, baseline="none")
    np.testing.assert_allclose(weights, [0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3])
    # Against the best of the k-1 others only the sole correct one adds anything.
    np.testing.assert_allclose(advantages("pkpo", [1, 0, 0, 0], [0] * 4, set_size=2), [0.5, 0, 0, 0], atol=1e-15)


def test_all_correct_in_clusters_of_six_and_two_still_has_signal():
    values = advantages("poly_epo", [1] * 8, [0] * 6 + [1] * 2, set_size=4, require_two_clusters=False)
    np.testing.assert_allclose(values, [-1 / 56] * 6 + [3 / 56] * 2, atol=1e-15)


def test_all_wrong_has_no_signal():
    assert (advantages("poly_epo", [0] * 8, [0, 1, 2, 3, 4, 5, 6, -1], set_size=4) == 0).all()


def test_five_equal_correct_against_three_unique_wrong_cancel_without_the_rule():
    rewards, clusters = [1] * 5 + [0] * 3, [0] * 5 + [1, 2, 3]
    without = advantages("poly_epo", rewards, clusters, set_size=4, require_two_clusters=False)
    np.testing.assert_allclose(without, 0, atol=1e-15)
    with_rule = advantages("poly_epo", rewards, clusters, set_size=4)
    assert (with_rule[:5] < 0).all()
    assert (with_rule[5:] > 0).all()


def test_the_single_cluster_rule_with_single_sets_scores_nothing():
    assert (advantages("poly_epo", [1, 0, 1], [0, 1, -1], set_size=1) == 0).all()


def test_diversity_over_correct_treats_wrong_ones_as_degenerate():
    rewards, clusters = [1, 1, 0, 0, 0], [0, 1, 2, 3, -1]
    over_correct = advantages("poly_epo", rewards, clusters, set_size=2, diversity_over="correct")
    np.testing.assert_array_equal(over_correct, advantages("poly_epo", rewards, [0, 1, -1, -1, -1], set_size=2))
    assert np.abs(over_correct - advantages("poly_epo", rewards, clusters, set_size=2)).max() > 0.01


def test_results_are_the_callers_own():
    rewards = np.array([[1.0, 0.0]])
    get_objective("grpo").set_scores(rewards, [[0, 0]])[0, 0] = 5
    assert rewards[0, 0] == 1.0


def test_every_built_in_is_known():
    built_in = ["grpo", "grpo_div", "maxrl", "pass_at_n", "pkpo", "poly_epo", "rloo", "set_function"]
    assert known_objectives()[: len(built_in)] == built_in


def test_diagnostics_of_a_mixed_batch():
    rewards = np.array([[1, 1, 1, 1, 1, 0, 0, 0], [0] * 8, [1] * 8])
    clusters = np.array([[0] * 5 + [1, 2, 3], list(range(8)), [0] * 6 + [1] * 2])
    found = diagnose(get_objective("poly_epo", set_size=4), rewards, clusters)
    assert found.signal_share == pytest.approx(2 / 3)
    assert found.wrong_positive_share == pytest.approx(3 / 11)
    assert found.correct_above_wrong == 0.0  # the trap: wrong ones win everywhere
    assert found.product_magnitude > 0
    assert found.covariance_magnitude > 0
    grpo = diagnose(get_objective("grpo"), rewards, clusters)
    assert grpo.correct_above_wrong == 1.0
    assert grpo.as_metrics() == {
        "signal_share": pytest.approx(1 / 3),
        "wrong_positive_share": 0.0,
        "correct_above_wrong": 1.0,
    }


def test_diagnostics_rank_counts_ties_half_and_leaves_absent_ones_out():
    rewards = np.array([[1, 0, 0, 1.0]])
    objective = get_objective("grpo_div", diversity_weight=2.0)
    # Shaped rewards: 1 + 2/3, 0 + 2, 0 + 2/3, 1 + 2/3 -> correct ones beat one of the two wrong ones.
    clusters = [[0, 1, 2, 0]]
    assert diagnose(objective, rewards, clusters).correct_above_wrong == pytest.approx(0.0)
    assert diagnose(objective, rewards, [[0, 1, 1, 0]]).correct_above_wrong == 1.0
    mask = [[True, True, False, False]]
    equal = diagnose(get_objective("grpo_div", diversity_weight=0.0), rewards * 0 + 0.7, clusters, mask)
    assert equal.correct_above_wrong is None
    tied = diagnose(get_objective("pass_at_n", set_size=3), [[0.6, 0.6, 0.9, 0.9]], clusters, correct_above=0.7)
    assert tied.correct_above_wrong == 0.5  # three of four always hold a 0.9: all advantages are equal
    half = diagnose(get_objective("poly_epo", set_size=2), [[1, 0, 0]], [[0, 0, 0]])
    assert half.correct_above_wrong == 0.5


def test_diagnostics_of_nothing_are_undefined():
    found = diagnose(get_objective("poly_epo", set_size=4), np.empty((0, 8)), np.empty((0, 8), int))
    assert found.as_metrics() == {}
