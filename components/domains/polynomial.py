"""The polynomial relation of arXiv 2604.17654 (synthetic domain): give any (x, y) with y = x^2 + bx + c.

    prompt      y=x^2+3x-5:          both terms are always written, with explicit signs
    completion  (2,5)                integers; any x of the range with its y is correct

The strategy is the distinct final answer: the paper clusters this domain by it. So every parseable completion,
right or wrong, is in a cluster, and an unparseable one is degenerate.
"""

from __future__ import annotations

import json
import random
import re

from components.domains.base import Verdict, integer_metadata
from components.records import Problem

__all__ = ["Polynomial", "equation", "polynomial_prompt", "relation_metadata", "worked_answer"]

# At most nine digits: a completion can never make a huge integer, and no sane answer has more.
_ANSWER = re.compile(r"\((-?[0-9]{1,9}),(-?[0-9]{1,9})\)")
_MAX_CHARACTERS = 64


class Polynomial:
    """Checker of the polynomial relation; the problem's metadata holds the integers b, c and x_range."""

    name = "polynomial"

    def verify(self, problem: Problem, completion: str) -> Verdict:
        """Reward 1.0 where y = x^2 + bx + c and abs(x) <= x_range; strategy = the canonical answer."""
        b, c, x_range = integer_metadata(problem, "b", "c", "x_range")
        # Bounded before stripping: strip() would copy a hostile completion of any length.
        match = _ANSWER.fullmatch(completion.strip()) if len(completion) <= _MAX_CHARACTERS else None
        if match is None:
            return Verdict(None, 0.0, None)
        x, y = int(match[1]), int(match[2])
        answer = f"({x},{y})"
        correct = abs(x) <= x_range and y == x * x + b * x + c
        return Verdict(answer, float(correct), answer)


def equation(b: int, c: int) -> str:
    """``y=x^2+3x-5``: one grammar for every problem, zero coefficients included."""
    return f"y=x^2{b:+d}x{c:+d}"


def polynomial_prompt(b: int, c: int) -> str:
    """The prompt of the relation: its equation and a colon."""
    return f"{equation(b, c)}:"


def relation_metadata(b: int, c: int, x_range: int) -> str:
    """The metadata JSON that ``Polynomial.verify`` reads."""
    return json.dumps({"b": b, "c": c, "x_range": x_range}, sort_keys=True)


def worked_answer(problem: Problem, *, correct: bool, rng: random.Random) -> str:
    """One completion with x uniform over the range; where not ``correct``, y holds one plausible slip."""
    b, c, x_range = integer_metadata(problem, "b", "c", "x_range")
    x = rng.randint(-x_range, x_range)
    y = x * x + b * x + c
    return f"({x},{y if correct else rng.choice(_slips(x, b, c))})"


def _slips(x: int, b: int, c: int) -> list[int]:
    """Wrong values of y that a careless worker reaches: a sign, a lost term, a carry, an off-by-one."""
    y = x * x + b * x + c
    signs = (x * x - b * x + c, x * x + b * x - c, -x * x + b * x + c)
    lost = (x * x + b * x, x * x + c, b * x + c)
    near = (y - 10, y - 2, y - 1, y + 1, y + 2, y + 10)
    return sorted({*signs, *lost, *near} - {y})
