"""Hostile text is shown as text, and what cannot be seen is made visible."""

from __future__ import annotations

import unicodedata

import pytest

from components.dashboard.text import SHOWN_CHARACTERS, shown, visible
from tests.unit.dashboard.example import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_completion_is_markup_or_invisible(text: str) -> None:
    html = str(visible(text))
    without_marks = html.replace('<span class="hidden">', "").replace("</span>", "")
    assert "<" not in without_marks
    assert ">" not in without_marks
    assert not [c for c in html if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")]


def test_marks_name_the_character() -> None:
    assert str(visible("a\u202eb")) == 'a<span class="hidden">\\u202e</span>b'
    assert str(visible("\x1b[31m")) == '<span class="hidden">\\x1b</span>[31m'


def test_every_format_and_control_character_is_hidden_or_a_line_break() -> None:
    characters = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")]
    # Signs of Arabic and Syriac numbering have a shape of their own.
    drawn = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
    left = [c for c in characters if 'class="hidden"' not in str(visible(c)) and c not in drawn]
    assert left == ["\t", "\n"]


def test_lone_surrogates_are_shown() -> None:
    assert "\\ud800" in str(visible("\ud800"))


def test_long_text_is_cut_and_says_how_much_is_left_out() -> None:
    found = shown("y" * 1_000_000)
    assert len(found.html) == SHOWN_CHARACTERS
    assert found.left_out == 1_000_000 - SHOWN_CHARACTERS
    assert shown("short").left_out == 0
