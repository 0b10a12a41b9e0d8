"""What the math-verify package reads wrongly is refused; what it reads well still counts."""

from __future__ import annotations

import logging

import pytest

from components.records import Problem
from components.scoring.verifiers.base import Item
from components.scoring.verifiers.misread import is_misread, same_text

math_verify = pytest.importorskip("math_verify")
from components.scoring.verifiers.mathematics import verify_mathematics  # noqa: E402

logging.getLogger("math_verify").setLevel(logging.CRITICAL)

# What is stated, and the answer that the package would take it for.
TAKEN_FOR = [
    ("10**10**10", "10"),
    ("2**0.5", "2"),
    ("1_000", "1"),
    ("1..5", "1"),
    ("2·3", "2"),
    ("10–3", "10"),
    ("2²", "2"),
    ("5//2", "5"),
    ("1 2", "3"),
    ("3 1/2", "2"),
    ("3 4 5", "12"),
    ("10 000", "0"),
    ("2\\,3", "5"),
    ("5 \\quad 6", "11"),
    ("(2)(3)", "5"),
    ("2(3)", "5"),
    ("2516_7", "2516"),
    ("0.\\overline{3}", "0"),
    ("0.333...", "0.333"),
    ("10%3", "0.1"),
    ("2^2^3", "64"),
    ("0x10", "0"),
    ("5\\bmod 3", "3"),
    ("10 \\choose 3", "3"),
    ("5\\approx 6", "5"),
    ("5\\\\6", "5"),
]

READ = [
    ("1,000", "1000"),
    ("3\\frac12", "7/2"),
    ("\\dfrac 1 2", "0.5"),
    ("x^2y^2", "y^2x^2"),
    ("2^{2^3}", "256"),
    ("(x+1)(x-2)", "x^2-x-2"),
    ("\\left(1, 2\\right)", "(1,2)"),
    ("\\{1, 2\\}", "\\{2, 1\\}"),
    ("2x+3", "3+2x"),
    ("50\\%", "50"),
    ("5 cm", "5"),
    ("\\sqrt{8}", "2\\sqrt{2}"),
    ("-\\frac{3}{4}", "-0.75"),
    ("2 \\times 3", "6"),
    ("x = 3", "3"),
    ("1/2 \\text{ or } 1/3", "\\frac{1}{3}, \\frac{1}{2}"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ("\\log_{2}(8)", "3"),
]


def judged(stated: str, answer: str) -> tuple[str | None, float]:
    problem = Problem("p", "?", answer, "math", "test")
    verdict = verify_mathematics(Item(problem, f"<answer>{stated}</answer>", False))
    return verdict.parsed_answer, verdict.reward


@pytest.mark.parametrize(("stated", "answer"), TAKEN_FOR)
def test_what_would_be_read_wrongly_counts_as_not_parsed(stated: str, answer: str) -> None:
    assert judged(stated, answer) == (None, 0.0)


@pytest.mark.parametrize(("stated", "answer"), TAKEN_FOR)
def test_the_package_has_not_learnt_better(stated: str, answer: str) -> None:
    """Fails where a newer version reads the notation: its pattern can then go."""
    parsed = [math_verify.parse(f"${text}$", parsing_timeout=None) for text in (answer, stated)]
    assert math_verify.verify(*parsed, timeout_seconds=None)


@pytest.mark.parametrize(("stated", "answer"), READ)
def test_what_is_read_well_still_counts(stated: str, answer: str) -> None:
    assert not is_misread(stated)
    assert judged(stated, answer) == (answer, 1.0)


@pytest.mark.parametrize("answer", ["2516_8", "0.\\overline{3}", "10 000", "x \\equiv 1 \\pmod 5"])
def test_an_answer_of_that_kind_is_matched_by_the_same_text_alone(answer: str) -> None:
    assert judged(f" {answer} ", answer) == (answer, 1.0)
    assert judged("2516", answer)[1] == 0.0
    assert judged("0", answer)[1] == 0.0


def test_the_same_text_may_differ_in_space_and_braces_around_one_character() -> None:
    assert same_text("2516_{8}", "2516_8")
    assert same_text("$ x + 1 $", "x+1")
    assert not same_text("1 2", "12")
    assert not same_text("\\frac{1}{23}", "\\frac{12}{3}")
