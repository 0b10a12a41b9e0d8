"""The verifier ``exact``: the stated answer equals the problem's answer as a normalised string."""

from __future__ import annotations

from components.domains import Verdict
from components.scoring.answers import MAX_ANSWER_CHARACTERS, answer_tag, normalise
from components.scoring.verifiers.base import Item

__all__ = ["verify_exact"]


def verify_exact(item: Item) -> Verdict:
    """Reward 1.0 where the answer tag's content, or the whole completion where it has no tag, is the answer.

    A truncated completion, or one with an opened tag, is never taken whole: "12" may be the start of "123".
    Strings are compared after ``normalise``. No strategy is named.
    """
    stated = answer_tag(item.completion)
    whole = not item.truncated and "<answer>" not in item.completion and len(item.completion) <= MAX_ANSWER_CHARACTERS
    if stated is None and whole:
        stated = item.completion
    answer = normalise(stated) if stated is not None else ""
    if not answer:
        return Verdict(None, 0.0, None)
    return Verdict(answer, float(answer == normalise(item.problem.answer)), None)
