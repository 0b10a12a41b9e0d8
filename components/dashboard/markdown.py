"""Model cards as HTML: Markdown without HTML, images or links, for text that nobody can vouch for."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markupsafe import Markup

from components.dashboard.text import HIDDEN

__all__ = ["markdown"]

_BELOW = 2  # a card's headings stand below the section's own, which is h2
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])


def markdown(text: str) -> Markup:
    """``text`` as HTML; what cannot be seen is written as ``\\xNN``, markup in it stays text."""
    tokens = _PARSER.parse(HIDDEN.sub(_codes, text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _BELOW, 6)}"
        # Columns of numbers: the content security policy refuses the style attribute that says so.
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))  # noqa: S704 - html is off: all text is escaped


def _codes(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape", "surrogatepass").decode("ascii")
