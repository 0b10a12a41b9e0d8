"""Every polynomial relation of the given coefficient range (arXiv 2604.17654, synthetic domain)."""

from __future__ import annotations

import random
from typing import Any

from components.data.params import PolynomialSource
from components.data.source import Candidate
from components.domains.polynomial import equation, polynomial_prompt, relation_metadata, worked_answer
from components.records import Problem

__all__ = ["PolynomialProblems"]


class PolynomialProblems:
    """(2 * coefficient_range + 1)^2 problems, ordered by b, then c."""

    def __init__(self, params: PolynomialSource) -> None:
        self._params = params

    def identity(self) -> dict[str, Any]:
        """Nothing outside the params."""
        return {}

    def candidates(self, seed: int) -> list[Candidate]:
        """The whole grid of (b, c); the seed plays no part."""
        span = range(-self._params.coefficient_range, self._params.coefficient_range + 1)
        return [self._candidate(b, c) for b in span for c in span]

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """Answers with x uniform over the range, ``wrong`` of them with a plausible slip in y."""
        right = [True] * (count - wrong) + [False] * wrong
        rng.shuffle(right)
        return [worked_answer(problem, correct=correct, rng=rng) for correct in right]

    def _candidate(self, b: int, c: int) -> Candidate:
        return Candidate(
            problem_id=f"polynomial:b={b}:c={c}",
            prompt=polynomial_prompt(b, c),
            answer=equation(b, c),
            domain="polynomial",
            metadata=relation_metadata(b, c, self._params.x_range),
        )
