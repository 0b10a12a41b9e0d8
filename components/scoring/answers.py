"""Finding the stated answer in a completion, and the form in which answers are compared."""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_ANSWER_CHARACTERS", "answer_tag", "normalise"]

MAX_ANSWER_CHARACTERS = 1_000
"""A longer final answer is none: it bounds what hostile text can make a verifier work through."""

_OPEN, _CLOSE = "<answer>", "</answer>"


def answer_tag(completion: str) -> str | None:
    """The content of the last complete ``<answer>...</answer>``, stripped; None where there is none.

    A completion cut off before its closing tag states no answer. Guessing one from the text, say the last
    number in it, would credit numbers that a truncated completion copied from its prompt.
    """
    end = completion.rfind(_CLOSE)
    start = completion.rfind(_OPEN, 0, end) if end >= 0 else -1
    if start < 0 or end - start - len(_OPEN) > MAX_ANSWER_CHARACTERS:
        return None
    return completion[start + len(_OPEN) : end].strip() or None


def normalise(text: str) -> str:
    """``text`` for comparison: Unicode NFKC, case folded, every run of white space one space, ends stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
