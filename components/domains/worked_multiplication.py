"""Worked multiplications, one way of working at a time, right or with one slip carried through.

Each plan is a first step; ``work_out`` evaluates it as a careful pupil would. The plans that exist depend on
the two factors: an odd pair has no doubling, a prime no factorization.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from components.domains.arithmetic import Sum, Term, format_sum
from components.domains.decomposition import place_values

__all__ = ["PLANS", "first_steps", "work_out", "worked_multiplication"]

Plan = Callable[[int, int, random.Random], Sum | None]


def _split_second(kept: int, parts: tuple[int, ...]) -> Sum:
    return tuple(Term(1 if part > 0 else -1, (kept, abs(part))) for part in parts)


def _place_value(kept: int, split: int, rng: random.Random) -> Sum | None:
    parts = place_values(split)
    return _split_second(kept, parts) if len(parts) > 1 else None


def _partial_products(left: int, right: int, rng: random.Random) -> Sum | None:
    rows, columns = place_values(left), place_values(right)
    if len(rows) < 2 or len(columns) < 2:
        return None
    return tuple(Term(1, (row, column)) for row in rows for column in columns)


def _compensation(kept: int, split: int, rng: random.Random) -> Sum | None:
    unit = rng.choice([10**power for power in range(1, len(str(split)) + 1)])
    above = -(-split // unit) * unit
    return _split_second(kept, (above, split - above)) if 0 < above - split < split else None


def _distributive(kept: int, split: int, rng: random.Random) -> Sum | None:
    part = rng.randint((split + 1) // 2, split - 1)
    return _split_second(kept, (part, split - part))


def _binary(kept: int, split: int, rng: random.Random) -> Sum | None:
    powers = tuple(1 << bit for bit in reversed(range(split.bit_length())) if split >> bit & 1)
    return _split_second(kept, powers) if len(powers) > 1 else None


def _factorization(kept: int, split: int, rng: random.Random) -> Sum | None:
    divisors = [divisor for divisor in range(2, min(split, 1000)) if split % divisor == 0]
    if not divisors:
        return None
    divisor = rng.choice(divisors)
    return (Term(1, (kept, divisor, split // divisor)),)


def _doubling(kept: int, split: int, rng: random.Random) -> Sum | None:
    return (Term(1, (kept * 2, split // 2)),) if split % 2 == 0 and split > 2 and split != 2 * kept else None


def _squares(left: int, right: int, rng: random.Random) -> Sum | None:
    if left == right or (left + right) % 2:
        return None
    mean, half = (left + right) // 2, abs(left - right) // 2
    return Term(1, (mean, mean)), Term(-1, (half, half))


PLANS: dict[str, Plan] = {
    "place_value": _place_value,
    "partial_products": _partial_products,
    "compensation": _compensation,
    "distributive": _distributive,
    "binary": _binary,
    "factorization": _factorization,
    "doubling": _doubling,
    "squares": _squares,
}
"""Way of working -> its first step for kept * split, or None where the factors do not allow it."""


def first_steps(left: int, right: int, rng: random.Random) -> list[Sum]:
    """One first step for every way of working that these factors allow, the factor to split drawn by ``rng``."""
    pair = (left, right) if rng.random() < 0.5 else (right, left)
    drawn = (plan(*pair, rng) for plan in PLANS.values())
    return [step for step in drawn if step is not None]


def worked_multiplication(left: int, right: int, *, correct: bool, rng: random.Random) -> str:
    """One completion of ``left*right=`` in a way drawn uniformly from those the factors allow."""
    return work_out(rng.choice(first_steps(left, right, rng)), slip=not correct, rng=rng)


def work_out(first: Sum, *, slip: bool, rng: random.Random) -> str:
    """The chain from the first step to the answer; with ``slip`` one number is off and carried through."""
    steps = [first]
    while len(steps[-1]) > 1 or len(steps[-1][0].factors) > 1:
        steps.append(_next_step(steps[-1]))
    if slip:
        # Everything before the slip stands; what follows is worked out from the wrong number.
        where = rng.randrange(1, len(steps))
        steps = [*steps[:where], _slipped(steps[where], rng)]
        while len(steps[-1]) > 1 or len(steps[-1][0].factors) > 1:
            steps.append(_next_step(steps[-1]))
    return "=".join(format_sum(step) for step in steps)


def _next_step(step: Sum) -> Sum:
    """One step on: halve and double, multiply the first two factors of every term, or add the terms up."""
    if len(step) == 1:
        first, second, *rest = step[0].factors
        if not rest and second % 2 == 0 and second > 2 and first % 2 == 0:
            return (Term(1, (first * 2, second // 2)),)
        return (Term(1, (first * second, *rest)),)
    if any(len(term.factors) > 1 for term in step):
        return tuple(Term(term.sign, (abs(term.value),)) for term in step)
    return (Term(1, (sum(term.value for term in step),)),)


def _slipped(step: Sum, rng: random.Random) -> Sum:
    """``step`` with one number off by one, two, ten or a hundred; never zero or below."""
    index = rng.randrange(len(step))
    term = step[index]
    number = term.factors[0]
    wrong = rng.choice([number + off for off in (-100, -10, -2, -1, 1, 2, 10, 100) if number + off > 0])
    return (*step[:index], Term(term.sign, (wrong, *term.factors[1:])), *step[index + 1 :])
