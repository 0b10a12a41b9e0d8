"""Multi-digit multiplication with the work shown (arXiv 2604.17654, synthetic domain).

    prompt      23*47=
    completion  23*40+23*7=920+161=1081

The work is a chain of equal sums of products that ends in one integer. The reward is 1 where every shown step
is true and the answer is right. The strategy is read from the first step (see ``decomposition``): a bare
answer, work that is no chain, and a first step that does not decompose this product are degenerate.
"""

from __future__ import annotations

import json

from components.domains.arithmetic import Sum, parse_chain, value
from components.domains.base import Verdict, integer_metadata
from components.domains.decomposition import recognise
from components.records import Problem

__all__ = ["Multiplication", "factors_metadata", "multiplication_prompt"]


class Multiplication:
    """Checker of shown multiplications; the problem's metadata holds the integers left and right."""

    name = "multiplication"

    def verify(self, problem: Problem, completion: str) -> Verdict:
        """Reward 1.0 where all steps are true and the last is the product; strategy from the first step."""
        left, right = integer_metadata(problem, "left", "right")
        chain = parse_chain(completion)
        if chain is None:
            return Verdict(None, 0.0, None)
        steps = _without_echo(chain, left, right)
        answer = _final_integer(steps)
        # Work that was cut off still shows its strategy in the first of its complete steps.
        worked = len(steps) > 1 and steps[0] is not None
        strategy = recognise(left, right, steps[0]) if worked and steps[0] is not None else None
        correct = answer is not None and all(step is not None and value(step) == left * right for step in steps)
        return Verdict(None if answer is None else str(answer), float(correct), strategy)


def multiplication_prompt(left: int, right: int) -> str:
    """``23*47=``."""
    return f"{left}*{right}="


def factors_metadata(left: int, right: int) -> str:
    """The metadata JSON that ``Multiplication.verify`` reads."""
    return json.dumps({"left": left, "right": right}, sort_keys=True)


def _without_echo(steps: list[Sum | None], left: int, right: int) -> list[Sum | None]:
    """The steps without a repetition of the question at their start, in either order."""
    first = steps[0]
    echoes = first is not None and len(first) == 1 and sorted(first[0].factors) == sorted((left, right))
    return steps[1:] if echoes and len(steps) > 1 else steps


def _final_integer(steps: list[Sum | None]) -> int | None:
    last = steps[-1]
    if last is None or len(last) != 1 or len(last[0].factors) != 1:
        return None
    return last[0].value
