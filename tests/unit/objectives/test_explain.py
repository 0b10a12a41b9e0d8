"""The explanation of one group and its command."""

import pytest
from typer.testing import CliRunner

from components.errors import PolyEpoError
from components.objectives import ObjectiveError, get_objective
from components.objectives.explain import SignRun, explain
from components.objectives.poly_epo import PolyEpo
from flows.commands.objective import app

REWARDS, CLUSTERS = [1, 1, 0, 0, 0, 0.5], [-1, 0, 0, 1, 2, 2]


@pytest.mark.parametrize("rule", [True, False])
def test_terms_sum_to_scores_and_advantages(rule):
    objective = PolyEpo(set_size=3, require_two_clusters=rule)
    group = explain(REWARDS, CLUSTERS, objective)
    advantages = objective.advantages([REWARDS], [CLUSTERS])[0]
    for terms, advantage, cluster in zip(group.completions, advantages, CLUSTERS, strict=True):
        assert terms.own + terms.partners + terms.rule == pytest.approx(terms.score, abs=1e-14)
        assert terms.score - group.mean_score == pytest.approx(terms.advantage, abs=1e-14)
        assert terms.product + terms.covariance == pytest.approx(terms.advantage, abs=1e-14)
        assert terms.advantage == pytest.approx(advantage, abs=1e-15)
        assert terms.cluster == cluster
        assert terms.grpo == pytest.approx(terms.reward - 2.5 / 6)
    assert any(terms.rule < 0 for terms in group.completions) == rule


def test_signs_follow_the_advantages_of_every_set_size():
    group = explain([1] * 5 + [0] * 3, [0] * 5 + [1, 2, 3], PolyEpo(set_size=4, require_two_clusters=False))
    assert group.completions[0].signs == (SignRun(1, 1, 3), SignRun(0, 4, 4), SignRun(-1, 5, 7))
    assert group.completions[0].flips == (4, 5)
    assert group.completions[7].signs == (SignRun(-1, 1, 3), SignRun(0, 4, 4), SignRun(1, 5, 7))
    assert group.advantages_SN.shape == (7, 8)
    five = get_objective("poly_epo", set_size=5, require_two_clusters=False)
    expected = five.advantages([[1] * 5 + [0] * 3], [[0] * 5 + [1, 2, 3]])[0]
    assert group.advantages_SN[4].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("rewards", "clusters", "message"),
    [
        ([1, 0], [0, 1, 1], "group: rewards and clusters differ in number"),
        ([1, 0], [0, 1], "prompt 0: too few completions"),
        ([1, 0, float("nan")], [0, 1, 1], "reward is not a finite number"),
    ],
)
def test_bad_groups(rewards, clusters, message):
    with pytest.raises(ObjectiveError, match=message):
        explain(rewards, clusters, PolyEpo(set_size=2))


def test_the_command_takes_lists_that_begin_with_a_minus():
    arguments = ["explain", "--rewards", "1,1,0,0", "--clusters", "-1,0,1,1", "--n", "2", "--only-correct"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "diversity over correct" in result.output
    assert "flips at n =" in result.output


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--rewards", "1,x,0", "--rewards: value 2 is not a number of the right kind"),
        ("--clusters", "0,1.5,0", "--clusters: value 2 is not a number"),
        ("--n", "3", "too few completions"),
        ("--n", "0", "set_size: must be a whole number of at least 1"),
    ],
)
def test_the_command_refuses_bad_values_in_one_line(option, value, message):
    values = {"--rewards": "1,0,0", "--clusters": "0,1,1", "--n": "2", option: value}
    result = CliRunner().invoke(app, ["explain", *(part for pair in values.items() for part in pair)])
    assert isinstance(result.exception, PolyEpoError)
    assert message in result.exception.line()
    assert "\n" not in result.exception.line()
