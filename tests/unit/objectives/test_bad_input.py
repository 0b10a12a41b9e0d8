"""Every bad input is one clear line that names the prompt and the value."""

import pickle

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.objectives import ObjectiveError, get_objective

REWARDS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
CLUSTERS = [[0, 1, -1], [0, 0, 1]]
POLY = get_objective("poly_epo", set_size=2)


def changed(values, value):
    copy = [list(row) for row in values]
    copy[1][2] = value
    return copy


@pytest.mark.parametrize("call", ["advantages", "set_scores"])
@pytest.mark.parametrize(
    ("rewards", "clusters", "mask", "message"),
    [
        (
            changed(REWARDS, np.nan),
            CLUSTERS,
            None,
            r"prompt 1, completion 2: reward is not a finite number \(got nan\)",
        ),
        (changed(REWARDS, -np.inf), CLUSTERS, None, r"prompt 1, completion 2: .* \(got -inf\)"),
        (REWARDS, changed(CLUSTERS, -2), None, r"prompt 1, completion 2: cluster id is below -1 \(got -2\)"),
        (REWARDS, changed(CLUSTERS, 0.5), None, r"prompt 1, completion 2: cluster id is not an integer \(got 0.5\)"),
        (REWARDS, np.array(CLUSTERS, float), None, r"clusters: .* integer type \(got 'float64'\)"),
        (REWARDS, [["a"] * 3] * 2, None, r"clusters: .* integer type"),
        (REWARDS, [[0, 1], [0, 1]], None, r"clusters: shape differs from rewards' \(2, 3\) \(got \(2, 2\)\)"),
        (REWARDS, CLUSTERS, [[True, True, True]], r"mask: shape differs"),
        (REWARDS, CLUSTERS, np.ones((2, 3)), r"mask: must be boolean \(got 'float64'\)"),
        ([1.0, 0.0], [0, 1], None, r"rewards: must be two-dimensional"),
        ([[1.0, 0.0], [1.0]], CLUSTERS, None, r"rewards: not a .* array of numbers"),
        (
            REWARDS,
            CLUSTERS,
            [[True] * 3, [True, False, True]],
            r"prompt 1: too few completions: .* 3 a prompt \(got 2\)",
        ),
    ],
)
def test_arrays(call, rewards, clusters, mask, message):
    with pytest.raises(ObjectiveError, match=message):
        getattr(POLY, call)(rewards, clusters, mask)


@pytest.mark.parametrize("name", ["poly_epo", "pass_at_n", "pkpo"])
def test_sets_must_be_smaller_than_the_group(name):
    with pytest.raises(ObjectiveError, match=r"prompt 0: too few completions: .* at least 4 a prompt \(got 3\)"):
        get_objective(name, set_size=3).advantages(REWARDS, CLUSTERS)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("poly_epo", {"set_size": 0}, r"set_size: .* at least 1 \(got 0\)"),
        ("pass_at_n", {"set_size": -3}, r"set_size: .* \(got -3\)"),
        ("pkpo", {"set_size": 2.5}, r"set_size: .* \(got 2.5\)"),
        ("poly_epo", {"set_size": True}, r"set_size: .* \(got True\)"),
        ("poly_epo", {"set_size": 2, "require_two_clusters": "no"}, r"require_two_clusters: must be true or false"),
        ("poly_epo", {"set_size": 2, "diversity_over": "wrong"}, r"diversity_over: must be 'all' or 'correct'"),
        ("poly_epo", {}, r"objective 'poly_epo': missing a required .* 'set_size' -> its parameters: set_size, "),
        ("grpo", {"set_size": 2}, r"objective 'grpo': got an unexpected .* -> its parameters: standardize, epsilon"),
        ("grpo", {"epsilon": 0.0}, r"epsilon: must be a finite number of at least 1e-12 \(got 0.0\)"),
        ("grpo", {"standardize": "yes"}, r"standardize: must be true or false \(got 'yes'\)"),
        ("poly_epo", {"set_size": 2, "correct_above": "half"}, r"correct_above: must be a finite number"),
        ("set_function", {"function": max, "set_size": 2, "max_sets": "all"}, r"max_sets: .* \(got 'all'\)"),
        ("grpo_div", {"diversity_weight": -1.0}, r"diversity_weight: .* at least 0"),
        ("grpo_div", {"diversity_weight": float("nan")}, r"diversity_weight: .* finite"),
        ("pkpo", {"set_size": 2, "baseline": "mean"}, r"baseline: must be one of none, loo, loo_minus_one"),
        ("set_function", {"function": 3, "set_size": 2}, r"function: is not a function \(got 3\)"),
        ("set_function", {"function": max, "set_size": 2, "samples": 0}, r"samples: .* \(got 0\)"),
        ("set_function", {"function": max, "set_size": 2, "seed": -1}, r"seed: .* \(got -1\)"),
        (
            "nonsense",
            {},
            r"unknown objective \(got 'nonsense'\) -> known: grpo, grpo_div, maxrl, pass_at_n, pkpo, poly_epo",
        ),
        ("no_such_package:Thing", {}, r"no_such_package:Thing: cannot be imported"),
        ("math:nothing_here", {}, r"math:nothing_here: cannot be imported"),
        ("math:pi", {}, r"objective 'math:pi': is neither a class nor a function"),
        (":x", {}, r"not an import path"),
        ("builtins:dict", {}, r"objective 'builtins:dict': has no method advantages\(\)"),
    ],
)
def test_parameters(name, params, message):
    with pytest.raises(ObjectiveError, match=message):
        get_objective(name, **params)


def test_maxrl_refuses_negative_rewards():
    with pytest.raises(ObjectiveError, match=r"prompt 1: maxrl needs rewards of at least 0 \(got -0.5\)"):
        get_objective("maxrl").advantages(changed(REWARDS, -0.5), CLUSTERS)


def test_overflow_is_an_error_and_not_an_infinity():
    with pytest.raises(ObjectiveError, match=r"prompt 0, completion 0: Grpo\.centered gave a value that is not finite"):
        get_objective("grpo").advantages([[1e308, 1e308, -1e308]], [[0, 0, 0]])


def test_the_error_is_one_line_for_the_user_and_survives_pickling():
    error = ObjectiveError("wrong", where="prompt 3", value="a\nb", remedy="mend it")
    assert isinstance(error, PolyEpoError)
    assert isinstance(error, ValueError)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ObjectiveError
    assert copy.line() == error.line() == "prompt 3: wrong (got 'a\\nb') -> mend it"


def test_values_outside_the_mask_are_not_looked_at():
    mask = np.array([[True, True, True], [True, True, True]])
    rewards, clusters = np.array([[1.0, 0, 0, np.nan]] * 2), np.array([[0, 1, -1, -50]] * 2)
    wide = np.hstack([mask, np.zeros((2, 1), bool)])
    expected = POLY.advantages(rewards[:, :3], clusters[:, :3])
    np.testing.assert_array_equal(POLY.advantages(rewards, clusters, wide)[:, :3], expected)


def test_no_prompts_give_no_advantages():
    assert POLY.advantages(np.empty((0, 8)), np.empty((0, 8), int)).shape == (0, 8)
