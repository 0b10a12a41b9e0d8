"""Shown multiplications: which strategy a first step shows, and which work is right."""

import random
from collections import Counter

import pytest

from components.domains import get_domain
from components.domains.arithmetic import parse_chain, parse_sum
from components.domains.decomposition import recognise
from components.domains.multiplication import factors_metadata, multiplication_prompt
from components.domains.worked_multiplication import PLANS, worked_multiplication
from components.records import Problem


def product(left: int, right: int) -> Problem:
    prompt = multiplication_prompt(left, right)
    return Problem("p", prompt, str(left * right), "multiplication", "test", factors_metadata(left, right))


def verdict(completion: str, left: int = 23, right: int = 47) -> tuple[str | None, float, str | None]:
    result = get_domain("multiplication").verify(product(left, right), completion)
    return result.parsed_answer, result.reward, result.strategy


@pytest.mark.parametrize(
    ("left", "right", "step", "strategy"),
    [
        (23, 47, "23*40+23*7", "place_value 47=40+7"),
        (23, 47, "47*3+47*20", "place_value 23=20+3"),
        (23, 47, "20*40+20*7+3*40+3*7", "partial_products 23=20+3 47=40+7"),
        (23, 47, "40*20+7*20+40*3+7*3", "partial_products 23=20+3 47=40+7"),
        (23, 47, "23*50-23*3", "compensation 47=50-3"),
        (23, 47, "23*50-69", "compensation 47=50-3"),
        (23, 47, "23*45+23*2", "distributive 47=45+2"),
        (23, 47, "23*32+23*8+23*4+23*2+23", "binary 47=32+8+4+2+1"),
        (23, 47, "35*35-12*12", "squares 35^2-12^2"),
        (23, 47, "13*40+13*7+10*40+10*7", "cross_products 23=13+10 47=40+7"),
        (24, 35, "24*5*7", "factorization 35=7*5"),
        (24, 35, "6*4*35", "factorization 24=6*4"),
        (24, 35, "4*6*5*7", "factorization 7*6*5*4"),
        (24, 35, "12*70", "doubling 12*70"),
        (24, 35, "8*105", "rescaling 8*105"),
        (3, 47, "47+47+47", "repeated_addition 3=1+1+1"),
    ],
)
def test_the_first_step_names_the_strategy(left, right, step, strategy):
    assert recognise(left, right, parse_sum(step)) == strategy


@pytest.mark.parametrize(
    "step", ["1081", "1000+81", "23*47", "47*23*1", "23*47+23*5-23*5", "23*47+23*0", "23*40+23*8", "23*9999-23*9952"]
)
def test_a_step_that_is_no_decomposition_shows_none(step):
    assert recognise(23, 47, parse_sum(step)) is None


def test_order_and_later_slips_make_no_new_strategy():
    strategies = {
        verdict(work)[2]
        for work in (
            "23*40+23*7=920+161=1081",
            "7*23+40*23=161+920=1081",
            "23*40+23*7=920+151=1071",
            "47*23=23*40+23*7=",
        )
    }
    assert strategies == {"place_value 47=40+7"}


@pytest.mark.parametrize(
    ("completion", "answer", "reward", "degenerate"),
    [
        ("23*40+23*7=920+161=1081", "1081", 1.0, False),
        ("23*47=23*40+23*7=1081", "1081", 1.0, False),
        ("23*40+23*7=920+162=1081", "1081", 0.0, False),  # right by luck: a step is not true
        ("23*40+23*7=920+161=1080", "1080", 0.0, False),
        ("23*40+23*7=920+16", None, 0.0, False),  # cut off
        ("1081", "1081", 1.0, True),  # a bare guess
        ("23*47=1081", "1081", 1.0, True),
        ("I think 1081", None, 0.0, True),
        ("23*40+23*7==1081", None, 0.0, True),
        ("", None, 0.0, True),
        ("__import__('os')", None, 0.0, True),
    ],
)
def test_work_is_judged(completion, answer, reward, degenerate):
    parsed, given, strategy = verdict(completion)
    assert (parsed, given, strategy is None) == (answer, reward, degenerate)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("9" * 10**6, id="a million digits"),
        pytest.param("1*" * 200 + "1", id="200 factors"),
        pytest.param("1+" * 200 + "1", id="200 terms"),
        pytest.param("=" * 400, id="400 steps"),
        "1234567890",
        "1*2*3*4*5*6*7*8*9",
    ],
)
def test_oversized_work_is_no_chain_of_sums(text):
    assert parse_chain(text) in (None, [None])


def test_worked_solutions_are_judged_as_they_were_made():
    rng, domain, seen = random.Random(0), get_domain("multiplication"), Counter()
    for _ in range(2000):
        left, right = rng.randint(2, 999), rng.randint(2, 999)
        correct = rng.random() < 0.5
        result = domain.verify(product(left, right), worked_multiplication(left, right, correct=correct, rng=rng))
        assert result.strategy is not None
        assert result.reward == float(correct)
        seen[result.strategy.split()[0]] += 1
    assert set(PLANS) <= set(seen)
