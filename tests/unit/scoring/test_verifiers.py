from __future__ import annotations

import math

import pytest

from components.domains import Verdict
from components.errors import PolyEpoError
from components.records import Problem
from components.scoring.verifiers import Item, load_verifier
from tests.unit.evaluation.reference import polynomial_problems, right_answer

CITY = Problem("c1", "Capital of France?", "Paris", "trivia", "train")


def constant(problem: Problem, completion: str) -> object:
    """A verifier of our own: the value that the problem's answer holds."""
    values = {"half": 0.5, "true": True, "nan": math.nan, "two": 2.0, "text": "1.0", "verdict": Verdict("a", 1.0, "s")}
    return values[problem.answer]


@pytest.mark.parametrize(
    ("completion", "truncated", "verdict"),
    [
        ("It is <answer>paris</answer>", False, Verdict("paris", 1.0, None)),
        ("It is <answer>Lyon</answer>", False, Verdict("lyon", 0.0, None)),
        (" PARIS\n", False, Verdict("paris", 1.0, None)),
        ("It is Paris", False, Verdict("it is paris", 0.0, None)),
        ("Paris", True, Verdict(None, 0.0, None)),  # may be the start of "Paris-Plages"
        ("<answer>Paris</answer> becau", True, Verdict("paris", 1.0, None)),
        ("<answer>Paris", False, Verdict(None, 0.0, None)),
        ("   ", False, Verdict(None, 0.0, None)),
        ("Paris " * 1_000, False, Verdict(None, 0.0, None)),
    ],
)
def test_exact(completion: str, truncated: bool, verdict: Verdict) -> None:
    assert load_verifier("exact")(Item(CITY, completion, truncated)) == verdict


def test_domain_asks_the_problems_own_domain() -> None:
    problem = polynomial_problems(4)[3]
    answer = right_answer(3, 2)
    assert load_verifier("domain")(Item(problem, answer)) == Verdict(answer, 1.0, answer)
    assert load_verifier("domain")(Item(problem, answer[:-1])) == Verdict(None, 0.0, None)


def test_domain_takes_no_answer_from_a_truncated_completion() -> None:
    problem = Problem("m", "23*47=", "1081", "multiplication", "train", '{"left": 23, "right": 47}')
    verify = load_verifier("domain")
    whole = verify(Item(problem, "23*40+23*7=920+161=1081"))
    assert (whole.parsed_answer, whole.reward) == ("1081", 1.0)
    assert verify(Item(problem, "23*40+23*7=920+161=1081", truncated=True)) == Verdict(None, 0.0, whole.strategy)


def test_domain_refuses_a_problem_of_no_domain() -> None:
    with pytest.raises(PolyEpoError, match="trivia"):
        load_verifier("domain")(Item(CITY, "Paris"))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("half", Verdict("7", 0.5, None)),
        ("true", Verdict("7", 1.0, None)),
        ("verdict", Verdict("a", 1.0, "s")),
    ],
)
def test_own_verifier_returns_a_reward_or_a_verdict(answer: str, verdict: Verdict) -> None:
    verify = load_verifier(f"{__name__}:constant")
    assert verify(Item(Problem("p", "?", answer, "own", "train"), "<answer> 7 </answer>")) == verdict


@pytest.mark.parametrize("answer", ["nan", "two", "text"])
def test_own_verifier_that_returns_nonsense_is_a_fault(answer: str) -> None:
    verify = load_verifier(f"{__name__}:constant")
    with pytest.raises(PolyEpoError, match=r"must return a Verdict, or a reward in \[0, 1\]"):
        verify(Item(Problem("p", "?", answer, "own", "train"), "7"))


@pytest.mark.parametrize("path", ["no_such_package.x:f", f"{__name__}:no_such_function", f"{__name__}:CITY"])
def test_own_verifier_that_is_not_there_is_a_fault(path: str) -> None:
    with pytest.raises(PolyEpoError, match=path.partition(":")[0]):
        load_verifier(path)
