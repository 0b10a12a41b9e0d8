"""Multi-digit multiplications, with solutions worked in many ways (arXiv 2604.17654, synthetic domain)."""

from __future__ import annotations

import random
from typing import Any

from components.data.params import MultiplicationSource
from components.data.seeding import stream
from components.data.source import Candidate
from components.domains.base import integer_metadata
from components.domains.multiplication import factors_metadata, multiplication_prompt
from components.domains.worked_multiplication import worked_multiplication
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["MultiplicationProblems"]


class MultiplicationProblems:
    """``size`` distinct pairs of factors with the given numbers of digits."""

    def __init__(self, params: MultiplicationSource) -> None:
        self._params = params

    def identity(self) -> dict[str, Any]:
        """Nothing outside the params."""
        return {}

    def candidates(self, seed: int) -> list[Candidate]:
        """Pairs drawn without replacement."""
        lefts, rights = _numbers(self._params.left_digits), _numbers(self._params.right_digits)
        total = len(lefts) * len(rights)
        if self._params.size > total:
            raise PolyEpoError(
                f"only {total} pairs of factors exist",
                where="data.source.size",
                value=self._params.size,
                remedy="lower the size or raise left_digits or right_digits",
            )
        drawn = stream(seed, "multiplication").sample(range(total), self._params.size)
        return [_candidate(lefts[index // len(rights)], rights[index % len(rights)]) for index in drawn]

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """Worked solutions, the way drawn uniformly for each; ``wrong`` of them carry one slip through."""
        left, right = integer_metadata(problem, "left", "right")
        correct = [True] * (count - wrong) + [False] * wrong
        rng.shuffle(correct)
        return [worked_multiplication(left, right, correct=flag, rng=rng) for flag in correct]


def _numbers(digits: int) -> range:
    return range(max(2, 10 ** (digits - 1)), 10**digits)


def _candidate(left: int, right: int) -> Candidate:
    return Candidate(
        problem_id=f"multiplication:{left}*{right}",
        prompt=multiplication_prompt(left, right),
        answer=str(left * right),
        domain="multiplication",
        metadata=factors_metadata(left, right),
    )
