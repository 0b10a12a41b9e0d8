"""The verifier ``math_verify``: symbolic equality of mathematical answers by the math-verify package.

It runs in a child process (components.scoring.worker). The package's own timeouts are signals, which fail off
the main thread and cannot interrupt one huge integer operation such as 9^9^9: they are off, and the limits of
the child process stand in their place.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import math_verify

from components.domains import Verdict
from components.errors import PolyEpoError
from components.scoring.answers import answer_tag
from components.scoring.verifiers.base import Item
from components.scoring.verifiers.misread import is_misread, same_text

__all__ = ["verify_mathematics"]

# It warns at every start that its timeouts are off, and debugs the hostile text itself.
logging.getLogger("math_verify").setLevel(logging.CRITICAL)


def verify_mathematics(item: Item) -> Verdict:
    """Reward 1.0 where the content of the answer tag equals the problem's answer, a LaTeX or plain expression.

    A correct completion's parsed answer is the problem's own answer, so that 1/2 and 0.5 vote together; a wrong
    one's is its expression as SymPy writes it. Without a complete answer tag the reward is 0. No strategy is
    named. What the package would read wrongly (see ``misread``) counts as not parsed, and a problem's answer of that
    kind is matched by the same text alone.

    Raises:
        PolyEpoError: the problem's answer holds no mathematical expression.
    """
    stated = answer_tag(item.completion)
    if stated is None:
        return Verdict(None, 0.0, None)
    reference = _reference(item.problem.answer)
    if not reference:
        raise PolyEpoError(
            "the answer is no mathematical expression",
            where=f"problem {item.problem.problem_id}",
            value=item.problem.answer,
            remedy="write it in LaTeX or plain notation, or take scoring.verifier exact",
        )
    if same_text(stated, item.problem.answer):
        return Verdict(item.problem.answer, 1.0, None)
    parsed = [] if is_misread(stated) else _parse(stated)
    if not parsed:
        return Verdict(None, 0.0, None)
    if is_misread(item.problem.answer):
        return Verdict(str(parsed[0]), 0.0, None)
    if math_verify.verify(reference, parsed, timeout_seconds=None):
        return Verdict(item.problem.answer, 1.0, None)
    return Verdict(str(parsed[0]), 0.0, None)


@lru_cache(maxsize=4_096)
def _reference(answer: str) -> list[Any]:
    return _parse(answer)


def _parse(text: str) -> list[Any]:
    """SymPy objects of ``text``; it is LaTeX as a whole unless it marks its formulas itself."""
    marked = "$" in text or "\\boxed" in text or "\\(" in text or "\\[" in text
    parsed: list[Any] = math_verify.parse(text if marked else f"${text}$", parsing_timeout=None)
    return parsed
