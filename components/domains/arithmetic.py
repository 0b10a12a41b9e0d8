"""The grammar of shown work: a chain of equal sums of products, e.g. ``23*40+23*7=920+161=1081``.

Parsing is linear in the text; text, terms, factors and digits are all bounded, so that hostile work costs
microseconds and never makes a huge integer.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["MAX_CHARACTERS", "Term", "format_sum", "parse_chain", "parse_sum", "value"]

MAX_CHARACTERS = 512
_MAX_STEPS = 16
_MAX_TERMS = 16
_ALPHABET = re.compile(r"[0-9+\-*=]*")
_TERM = re.compile(r"([+-]?)([0-9]{1,9}(?:\*[0-9]{1,9}){0,7})")


@dataclass(frozen=True)
class Term:
    """A signed product of non-negative integers; ``sign`` is 1 or -1."""

    sign: int
    factors: tuple[int, ...]

    @property
    def value(self) -> int:
        """The term's value, sign included."""
        return self.sign * math.prod(self.factors)


Sum = tuple[Term, ...]


def value(terms: Sum) -> int:
    """The value of a sum."""
    return sum(term.value for term in terms)


def parse_sum(text: str) -> Sum | None:
    """``23*50-23*3`` as terms, or None where ``text`` is not a sum of products."""
    terms: list[Term] = []
    position = 0
    while position < len(text) and len(terms) < _MAX_TERMS:
        match = _TERM.match(text, position)
        # A sign stands between terms, and nowhere else.
        if match is None or bool(match[1]) != bool(terms):
            return None
        terms.append(Term(-1 if match[1] == "-" else 1, tuple(int(factor) for factor in match[2].split("*"))))
        position = match.end()
    return tuple(terms) if terms and position == len(text) else None


def parse_chain(text: str) -> list[Sum | None] | None:
    """The steps of ``text`` between its equal signs, surrounding white space ignored.

    Returns None where the text is no chain. The last step alone may be None: work that was cut off in it.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    parts = text.strip().split("=", _MAX_STEPS)
    if len(parts) > _MAX_STEPS or not all(_ALPHABET.fullmatch(part) for part in parts):
        return None
    steps = [parse_sum(part) for part in parts]
    return None if None in steps[:-1] else steps


def format_sum(terms: Sum) -> str:
    """The text of a sum, the inverse of ``parse_sum``."""
    texts = [("-" if term.sign < 0 else "+") + "*".join(str(factor) for factor in term.factors) for term in terms]
    return "".join(texts).removeprefix("+")
