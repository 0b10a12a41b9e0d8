"""Which way of working a product out a first step shows: the macro strategy and the micro choice in it.

    recognise(23, 47, parse_sum("23*40+23*7"))      "place_value 47=40+7"
    recognise(23, 47, parse_sum("23*50-23*3"))      "compensation 47=50-3"
    recognise(24, 35, parse_sum("24*5*7"))          "factorization 35=7*5"

Two completions share a strategy when both parts agree; the order of terms and factors, and slips in the
arithmetic that follows, make no new one (arXiv 2604.17654, clusters by macro and micro strategy). A first step
that is not a true decomposition of this product shows none.
"""

from __future__ import annotations

import math
from collections import Counter

from components.domains.arithmetic import Sum, Term, value

__all__ = ["place_values", "recognise"]


def place_values(number: int) -> tuple[int, ...]:
    """The non-zero digits of ``number`` with their places: 407 -> (400, 7)."""
    digits = str(number)
    return tuple(int(digit) * 10 ** (len(digits) - 1 - place) for place, digit in enumerate(digits) if digit != "0")


def recognise(left: int, right: int, step: Sum) -> str | None:
    """The strategy that ``step`` shows for ``left * right`` (both at least 2), or None."""
    if value(step) != left * right:
        return None
    if len(step) == 1:
        return _product(left, right, step[0])
    return (
        _one_factor_split(left, right, step)
        or _one_factor_split(right, left, step)
        or _squares(left, right, step)
        or _both_split(left, right, step)
        or _both_split(right, left, step)
    )


def _product(left: int, right: int, term: Term) -> str | None:
    """A single product: one factor (or both) in smaller factors, or one doubled while the other is halved."""
    factors = Counter(factor for factor in term.factors if factor != 1)
    if factors.total() < 2 or factors == Counter((left, right)):
        return None
    if factors.total() == 2:
        pair = sorted(factors.elements())
        macro = "doubling" if _is_power_of_two_ratio(pair[0], left, right) else "rescaling"
        return f"{macro} {pair[0]}*{pair[1]}"
    for kept, split in ((left, right), (right, left)):
        rest = factors - Counter((kept,))
        if kept in factors and math.prod(rest.elements()) == split:
            return f"factorization {split}={_joined(rest, '*')}"
    return f"factorization {_joined(factors, '*')}"


def _is_power_of_two_ratio(factor: int, left: int, right: int) -> bool:
    """Whether ``factor`` comes from one of the two by doublings or halvings alone."""
    for original in (left, right):
        larger, smaller = max(factor, original), min(factor, original)
        ratio, remainder = divmod(larger, smaller)
        if remainder == 0 and ratio & (ratio - 1) == 0:
            return True
    return False


def _one_factor_split(kept: int, split: int, step: Sum) -> str | None:
    """``kept`` times the parts of ``split``; a term may show its part's product already worked out."""
    shown = [term for term in step if kept in term.factors]
    if not shown or any(term.value % kept or (len(term.factors) > 1 and kept not in term.factors) for term in step):
        return None
    parts = [term.value // kept for term in step]
    if not _is_split(parts, split):
        return None
    return f"{_split_name(parts, split)} {split}={_signed(parts)}"


def _is_split(parts: list[int], whole: int) -> bool:
    """Whether ``parts`` are a real split of ``whole``: no empty, cancelling or far too large part."""
    limit = 10 ** len(str(whole))
    cancels = any(-part in parts for part in parts)
    return sum(parts) == whole and not cancels and all(0 < abs(part) <= limit and part != whole for part in parts)


def _split_name(parts: list[int], whole: int) -> str:
    if sorted(parts, reverse=True) == sorted(place_values(whole), reverse=True):
        return "place_value"
    if any(part < 0 for part in parts):
        return "compensation"
    if all(part == 1 for part in parts):
        return "repeated_addition"
    if len(set(parts)) == len(parts) and all(part & (part - 1) == 0 for part in parts):
        return "binary"
    return "distributive"


def _squares(left: int, right: int, step: Sum) -> str | None:
    """left*right = m^2 - d^2 with m their mean and d half their difference."""
    mean, half = (left + right) // 2, abs(left - right) // 2
    shown = {(term.sign, term.factors) for term in step}
    if len(step) == 2 and half and shown == {(1, (mean, mean)), (-1, (half, half))}:
        return f"squares {mean}^2-{half}^2"
    return None


def _both_split(left: int, right: int, step: Sum) -> str | None:
    """Every part of ``left`` times every part of ``right``: partial products."""
    if any(len(term.factors) != 2 for term in step):
        return None
    rows: dict[int, list[int]] = {}
    for term in step:
        rows.setdefault(term.factors[0], []).append(term.sign * term.factors[1])
    columns = sorted(next(iter(rows.values())), reverse=True)
    rectangular = all(sorted(row, reverse=True) == columns for row in rows.values())
    if not rectangular or not _is_split(list(rows), left) or not _is_split(columns, right):
        return None
    places = set(rows) == set(place_values(left)) and columns == list(place_values(right))
    names = sorted([f"{left}={_signed(list(rows))}", f"{right}={_signed(columns)}"])
    return f"{'partial_products' if places else 'cross_products'} {' '.join(names)}"


def _joined(numbers: Counter[int], separator: str) -> str:
    return separator.join(str(number) for number in sorted(numbers.elements(), reverse=True))


def _signed(parts: list[int]) -> str:
    return "".join(f"{part:+d}" for part in sorted(parts, reverse=True)).removeprefix("+")
