"""CHAMP's answers as values: prose around a value is taken off, and what is no value is told apart.

The data set states its answers for people: "98 values", "0 is the only possible value", "C(10, 5), or equivalently
252". A symbolic verifier reads letters as variables, so that prose would be multiplied into the value, or a sum's first
term be taken for the whole. An answer is *checkable* when one value or one expression of plain operators is left.
"""

from __future__ import annotations

import re

__all__ = ["checkable_answer"]

_TRIMMINGS = [
    re.compile(r"\s*\((?:i\.e\.|none\b|no such)[^()]*\)$"),
    re.compile(r",? or (?:equivalently|approximately|an equivalent)\b.*$"),
    re.compile(r" is the only possible value$"),
    re.compile(r"^The (?:limit exists and is equal to|only possible value for the limit is) "),
    re.compile(r" (?:values|pairs|roots|inequalities|integers|solutions|numbers|times)$"),
]
# C(n, k) means a binomial coefficient here and a function elsewhere; sums, floors and lists "1, 2, ..." are misread.
_MISREAD = re.compile(r"\bC\(|_\(|\.\.\.|…|!|±sqrt")
_WORD = re.compile(r"[A-Za-z]{2,}")
_KNOWN_WORDS = frozenset({"sqrt", "sin", "cos", "tan", "log", "ln", "pi", "and"})


def checkable_answer(answer: str) -> str | None:
    """The value that ``answer`` states, or None where a symbolic verifier could not judge it.

    "Yes" and "No" are not checkable either: with many samples a guess is always right.
    """
    value = answer.strip()
    for trimming in _TRIMMINGS:
        value = trimming.sub("", value)
    # A product of variables may look like a word: xy, xyz and abc are none.
    words = {word for word in _WORD.findall(value) if not set(word) <= set("abcxyz")}
    if not value or _MISREAD.search(value) or not words <= _KNOWN_WORDS:
        return None
    return value
