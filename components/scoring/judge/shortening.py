"""Long texts cut in the middle, so that a group of completions fits a budget of bytes.

The beginning of a completion says what is tried and its end how it came out; the middle is what a judge of
strategies can miss best. Short completions stay whole: only the longest pay for the space.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fit", "level", "shorten"]

_MARK = "\n[... {} characters left out ...]\n"
_MARK_BYTES = 48  # of the longest mark, with room for a number of 13 digits


def shorten(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` UTF-8 bytes: whole, or head and tail with a mark between; no character is split.

    ``limit`` must be above the mark's own 48 bytes.
    """
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    kept = limit - _MARK_BYTES
    if kept < 2:
        raise ValueError(f"limit must be above {_MARK_BYTES + 1} bytes, got {limit}")
    head = raw[: (kept + 1) // 2].decode("utf-8", "ignore")
    tail = raw[len(raw) - kept // 2 :].decode("utf-8", "ignore")
    return head + _MARK.format(len(text) - len(head) - len(tail)) + tail


def level(lengths: Sequence[int], budget: int) -> int:
    """The largest limit L with sum(min(length, L)) <= budget; the longest length where everything fits."""
    left, waiting = budget, sorted(lengths)
    for place, length in enumerate(waiting):
        share = left // (len(waiting) - place)
        if length > share:
            return max(share, 0)
        left -= length
    return max(lengths, default=0)


def fit(texts: Sequence[str], budget: int, *, least: int) -> list[str] | None:
    """``texts`` in at most ``budget`` bytes together, the longest ones shortened to one common limit.

    Returns:
        The texts, or None where one would be left with fewer than ``least`` bytes: that little shows no strategy.
    """
    lengths = [len(text.encode("utf-8", "replace")) for text in texts]
    limit = level(lengths, budget)
    if limit < max(lengths, default=0) and limit < max(least, _MARK_BYTES + 2):
        return None
    return [shorten(text, limit) for text in texts]
