"""The polynomial relation: strict grammar, exact check, strategy = distinct answer."""

import random

import pytest

from components.domains import get_domain
from components.domains.polynomial import equation, polynomial_prompt, relation_metadata, worked_answer
from components.errors import PolyEpoError
from components.records import Problem


def relation(b: int, c: int, x_range: int = 9) -> Problem:
    return Problem("p", polynomial_prompt(b, c), equation(b, c), "polynomial", "test", relation_metadata(b, c, x_range))


@pytest.mark.parametrize(("b", "c", "prompt"), [(3, -5, "y=x^2+3x-5:"), (-3, 0, "y=x^2-3x+0:"), (0, 9, "y=x^2+0x+9:")])
def test_every_prompt_has_the_same_grammar(b, c, prompt):
    assert polynomial_prompt(b, c) == prompt


@pytest.mark.parametrize(
    ("completion", "answer", "reward"),
    [
        ("(2,5)", "(2,5)", 1.0),
        ("(-9,49)", "(-9,49)", 1.0),
        (" (2,5)\n", "(2,5)", 1.0),
        ("(02,05)", "(2,5)", 1.0),
        ("(-0,-5)", "(0,-5)", 1.0),
        ("(2,6)", "(2,6)", 0.0),
        ("(10,125)", "(10,125)", 0.0),  # on the curve, outside the range
    ],
)
def test_a_parseable_completion_is_its_own_strategy(completion, answer, reward):
    verdict = get_domain("polynomial").verify(relation(3, -5), completion)
    assert (verdict.parsed_answer, verdict.reward, verdict.strategy) == (answer, reward, answer)


@pytest.mark.parametrize(
    "completion",
    [
        *("", "2,5", "(2, 5)", "(2,5)(2,5)", "(+2,5)", "(2.0,5)", "(2,5", "(٢,٥)", "(--2,5)", "(2,5)\x00"),
        pytest.param("(" * 10**6, id="a million brackets"),
        pytest.param("(" + "9" * 10**6 + ",5)", id="a million digits"),
        "(1000000000000,5)",
    ],
)
def test_anything_else_is_degenerate(completion):
    verdict = get_domain("polynomial").verify(relation(3, -5), completion)
    assert (verdict.parsed_answer, verdict.reward, verdict.strategy) == (None, 0.0, None)


def test_worked_answers_are_right_or_wrong_as_asked():
    rng, domain = random.Random(0), get_domain("polynomial")
    for _ in range(2000):
        problem = relation(rng.randint(-9, 9), rng.randint(-9, 9))
        correct = rng.random() < 0.5
        verdict = domain.verify(problem, worked_answer(problem, correct=correct, rng=rng))
        assert verdict.strategy is not None
        assert verdict.reward == float(correct)


@pytest.mark.parametrize(
    "metadata", ["", "[]", "{}", '{"b": 1, "c": true, "x_range": 9}', '{"b": "1", "c": 1, "x_range": 9}']
)
def test_a_problem_without_its_integers_is_refused(metadata):
    with pytest.raises(PolyEpoError, match=r"problem p7: .*b, c, x_range.*->"):
        get_domain("polynomial").verify(Problem("p7", "y", "y", "polynomial", "test", metadata), "(1,1)")


def test_an_unknown_domain_lists_the_known_ones():
    with pytest.raises(PolyEpoError, match="known: polynomial, multiplication"):
        get_domain("chess")
