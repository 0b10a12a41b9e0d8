"""Showing text that nobody can vouch for: markup as text, control characters and bidirectional marks made visible."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = ["HIDDEN", "SHOWN_CHARACTERS", "Shown", "shown", "visible"]

SHOWN_CHARACTERS = 2000
"""Characters of a completion that are shown before somebody asks for all of it."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]+"
)
"""Controls but line feed and tab; soft hyphen, zero width, bidirectional and other formatting; separators; private use,
tags and lone surrogates. None of them has a shape of its own, and some move the text around them."""


@dataclass(frozen=True)
class Shown:
    """A text ready for a page; ``left_out`` characters are not in it."""

    html: Markup
    left_out: int


def visible(text: str) -> Markup:
    """``text`` escaped; what cannot be seen is written as ``\\xNN`` in a mark of its own."""
    return Markup(HIDDEN.sub(_mark, str(escape(text))))  # noqa: S704 - escaped above, marks hold ASCII alone


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> Shown:
    """The first ``limit`` characters of ``text``, visible."""
    return Shown(visible(text[:limit]), max(len(text) - limit, 0))


def _mark(found: re.Match[str]) -> str:
    # encode() would refuse lone surrogates, which "unicode_escape" writes.
    codes = found.group().encode("unicode_escape", "surrogatepass").decode("ascii")
    return f'<span class="hidden">{codes}</span>'
