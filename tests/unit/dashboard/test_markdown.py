"""Model cards become tables and headings; nothing in them becomes markup of its own."""

from __future__ import annotations

from components.dashboard.markdown import markdown


def test_headings_lists_tables_and_code() -> None:
    html = markdown("# Title\n\n## Part\n\n- `a_b`: 1\n\n| k | value |\n|---|---:|\n| pass@1 | 0.5 |\n")
    for piece in ("<h3>Title</h3>", "<h4>Part</h4>", "<li><code>a_b</code>: 1</li>", '<td class="number">0.5</td>'):
        assert piece in html
    assert "style=" not in html


def test_hostile_text_stays_text() -> None:
    html = markdown(
        "<script>alert(1)</script>\n\n[go](javascript:alert(1)) ![x](http://example.org/x.png) <http://example.org>\n\n"
        "`\u202ereversed` \x1b[31m"
    )
    for tag in ("<script", "<a ", "<img"):
        assert tag not in html
    assert "&lt;script&gt;" in html
    assert "<code>\\u202ereversed</code>" in html
    assert "\u202e" not in html
    assert "\x1b" not in html
