r"""A verifier for samples made elsewhere: mathematics whose answer stands in the last ``\boxed{...}``.

    poly-epo evaluate --import samples.jsonl --problems FILE --verifier components.evaluation.boxed:verify

It judges as ``math_verify`` does, and like every verifier named by its import path it runs in a child process with a
time and a memory limit. Our own prompts ask for ``<answer>``; most public evaluations ask for a box.
"""

from __future__ import annotations

from components.domains import Verdict
from components.records import Problem
from components.scoring.answers import MAX_ANSWER_CHARACTERS

__all__ = ["last_boxed", "verify"]

_OPEN = "\\boxed{"


def verify(problem: Problem, completion: str) -> Verdict:
    """Reward 1.0 where the content of the last complete box equals the problem's answer; 0.0 without one.

    Raises:
        PolyEpoError: the problem's answer holds no mathematical expression.
    """
    stated = last_boxed(completion)
    if stated is None:
        return Verdict(None, 0.0, None)
    # Imported in the child process that judges: SymPy takes a second.
    from components.scoring.verifiers.base import Item  # noqa: PLC0415
    from components.scoring.verifiers.mathematics import verify_mathematics  # noqa: PLC0415

    return verify_mathematics(Item(problem, f"<answer>{stated}</answer>"))


def last_boxed(text: str) -> str | None:
    """The content of the last box of ``text``, braces within it balanced; None without a complete one.

    A completion that was cut off inside its last box states no answer.
    """
    start = text.rfind(_OPEN)
    if start < 0:
        return None
    depth, begin = 1, start + len(_OPEN)
    for position in range(begin, min(len(text), begin + MAX_ANSWER_CHARACTERS + 1)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position].strip() or None
    return None
