"""Notations that the math-verify package reads as something else: refused, so that nothing is read wrongly.

Its parser drops what it does not know (``10**10**10`` is read as 10, ``2516_8`` as 2516, ``0.\\overline{3}`` as 0)
and takes what stands side by side for a mixed number (``3 1/2`` is read as 2, ``2(3)`` as 5). Each pattern below
was seen to do so with version 0.9; tests hold what is refused, what is still read, and that the package has not
learnt better.
"""

from __future__ import annotations

import re

__all__ = ["MISREAD", "is_misread", "same_text"]

MISREAD: dict[str, str] = {
    "programmer's power or division": r"\*\*|//",
    "numbers side by side": r"\d(?:\s|~|\\[,;:! ]|\\q?quad)+\d",
    "number before parenthesised numbers": r"(?<![_^\d.])\d+(?:\.\d+)?\s*\([^A-Za-z\\]*\)",
    "parenthesised numbers side by side": r"\([^A-Za-z\\,]*\)\s*\([^A-Za-z\\,]*\)",
    "base or digit separator": r"\d\s*_",
    "dots": r"\.\.|\d\.\d+\.\d|…|\\l?c?dots",
    "repeating decimal": r"\.\d*\s*\\(?:overline|bar|dot)",
    "percent before an operand": r"\\?%\s*[\w(]",
    "scientific notation": r"\d[eE][+-]?\d",
    "tower of powers without braces": r"\^\s*(?:\{[^{}]*\}|\d+|[A-Za-z])\s*\^",
    "hexadecimal, octal or binary": r"(?<![\w.])0[xXbBoO][0-9A-Fa-f]",
    "remainder": r"(?<![A-Za-z])p?mod(?![A-Za-z])|\\bmod",
    "choose": r"\\choose",
    "approximation": r"\\approx|≈|\\simeq|\\doteq",
    "quotient before a factor": r"/\s*\d+\s*(?:(?!(?:or|and)\b)[A-Za-z]|\\pi|\\sqrt|\\frac)",
    "superscript, dash or dot of Unicode": r"[–—·•‐‑¹²³⁰-⁹₀-₉½¼¾⅓⅔√]",
}
"""What it is -> regular expression of the text that is refused."""

_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in MISREAD.values()))
_BRACELESS_FRACTION = re.compile(r"\\[dtc]?frac\s*\d\s*\d")
_LINE_BREAK = re.compile(r"\\\\(?![A-Za-z])")
_LOOSE_SPACE = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")
_ONE_IN_BRACES = re.compile(r"\{([0-9A-Za-z])\}")


def is_misread(text: str) -> bool:
    """Whether ``text`` holds a notation that would be read as something else."""
    plain = text.replace("\\left", "").replace("\\right", "")
    if "\\begin" not in plain and _LINE_BREAK.search(plain):
        return True
    return _ANY.search(_BRACELESS_FRACTION.sub("", plain)) is not None


def same_text(one: str, other: str) -> bool:
    """Whether two answers are the same characters, spaces beside signs and braces around one character apart."""
    return _bare(one) == _bare(other)


def _bare(text: str) -> str:
    return _ONE_IN_BRACES.sub(r"\1", _LOOSE_SPACE.sub("", text.strip().strip("$")))
