"""Domains on arbitrary text: never an exception, always a verdict within its bounds."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from components.domains import DOMAINS
from components.domains.arithmetic import Term, format_sum, parse_sum, value
from components.domains.decomposition import place_values, recognise
from components.domains.multiplication import factors_metadata
from components.domains.polynomial import relation_metadata
from components.records import Problem

PROBLEMS = {
    "polynomial": Problem("p", "y=x^2+3x-5:", "", "polynomial", "test", relation_metadata(3, -5, 9)),
    "multiplication": Problem("m", "23*47=", "1081", "multiplication", "test", factors_metadata(23, 47)),
}
TERMS = st.builds(Term, st.sampled_from([1, -1]), st.lists(st.integers(0, 999_999), min_size=1, max_size=5).map(tuple))


@given(st.sampled_from(sorted(DOMAINS)), st.text() | st.text(alphabet="0123456789*+-=(),", max_size=80))
def test_any_text_gets_a_verdict(name, completion):
    verdict = DOMAINS[name].verify(PROBLEMS[name], completion)
    assert verdict.reward in (0.0, 1.0)
    assert verdict.reward == 0.0 or verdict.parsed_answer is not None


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-12, 12), st.integers(-300, 300))
def test_polynomial_reward_is_the_relation(b, c, x, y):
    problem = Problem("p", "", "", "polynomial", "test", relation_metadata(b, c, 9))
    verdict = DOMAINS["polynomial"].verify(problem, f"({x},{y})")
    assert verdict.reward == float(abs(x) <= 9 and Fraction(y) == x**2 + b * x + c)


@given(TERMS.filter(lambda term: term.sign > 0), st.lists(TERMS, max_size=10))
def test_formatting_a_sum_is_the_inverse_of_parsing(first, rest):
    terms = (first, *rest)
    assert parse_sum(format_sum(terms)) == terms


@given(st.integers(2, 9999), st.integers(2, 9999), st.lists(TERMS, min_size=1, max_size=6).map(tuple))
def test_only_true_steps_show_a_strategy(left, right, step):
    assert recognise(left, right, step) is None or value(step) == left * right


@given(st.integers(1, 10**9))
def test_place_values_add_up(number):
    assert sum(place_values(number)) == number


@given(st.integers(11, 999), st.integers(11, 999), st.integers(2, 10), st.randoms(use_true_random=False))
def test_a_strategy_does_not_depend_on_the_order_of_terms(left, right, part, rng):
    step = [Term(1, (left, part)), Term(1, (left, right - part))]
    name = recognise(left, right, tuple(step))
    rng.shuffle(step)
    assert recognise(left, right, tuple(Term(term.sign, term.factors[::-1]) for term in step)) == name
    assert name is not None
