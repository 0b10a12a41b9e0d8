"""The dashboard in a real Chromium: every page, comparing, filters, live progress, hostile text, keyboard, looks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser.conftest import Served, watched
from tests.unit.dashboard.example import make_iteration

pytestmark = [pytest.mark.services, pytest.mark.slow]

THREE = "run=monday:base&run=monday:grpo&run=monday:poly_epo"
PAGES = {
    "runs": "/runs",
    "compare": f"/compare?{THREE}",
    "run": "/runs/monday:poly_epo",
    "rollouts": "/runs/monday:poly_epo/rollouts?iteration=40&problem=train-1",
    "side-by-side": "/runs/monday:poly_epo/rollouts?iteration=40&problem=train-1&iteration2=1",
    "hostile": "/runs/tuesday:poly_epo/rollouts?iteration=40&problem=train-0",
    "models": "/models",
    "unknown": "/runs/none:none",
}


def has_count(locator: Any, count: int) -> None:
    """Wait until so many elements are there; the policy of the pages forbids the driver's own waiting by eval()."""
    locator.nth(count).wait_for(state="detached")
    assert locator.count() == count


@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_and_asks_no_other_host(tab: Any, served: Served, name: str) -> None:
    tab.goto(served.address + PAGES[name])
    assert tab.locator("h1").count() == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_choosing_three_runs_and_comparing_them(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs?q=monday")
    for box in tab.locator("input[name=run]").all():
        box.check()
    tab.get_by_role("button", name="Compare selected").click()
    tab.wait_for_url("**/compare?*")
    assert tab.url.count("run=") == 3
    assert tab.locator("#pass-at-k-title").count() == 1
    assert tab.locator("table.differences").count() == 3
    table = tab.locator("#pass-at-k-table")
    table.locator("summary").click()
    assert "pass@k" in table.inner_text()
    tab.reload()
    assert tab.locator("table.differences").count() == 3


def test_filters_change_the_table_and_the_address(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs")
    tab.get_by_label("Search").fill("tuesday")
    tab.wait_for_url("**q=tuesday**")
    has_count(tab.locator("tbody tr"), 3)
    tab.get_by_label("Arm").select_option("grpo")
    has_count(tab.locator("tbody tr"), 1)
    deep = tab.url
    tab.goto(f"{served.address}/models")
    tab.goto(deep)
    assert tab.locator("tbody tr").count() == 1
    assert tab.get_by_label("Search").input_value() == "tuesday"


def test_sorting_by_a_column(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs?q=evaluated")
    tab.get_by_role("link", name="pass@8").click()
    tab.wait_for_url("**sort=pass_8**")
    values = [float(text.split()[0]) for text in tab.locator("tbody td:nth-child(6)").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert tab.locator("th[aria-sort=descending]").inner_text().startswith("pass@8")


def test_progress_moves_while_a_run_trains(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs/current:grpo")
    before = int(re.findall(r"\d+", tab.locator("#count").inner_text())[0])
    make_iteration(served.project / "workspace", "grpo", before + 1, 8)
    tab.locator("#count", has_text=f"{before + 1} of 8").wait_for()


def test_hostile_completions_do_nothing(tab: Any, served: Served) -> None:
    tab.goto(served.address + PAGES["hostile"])
    assert "Poly-EPO" in tab.title()
    assert tab.locator("#escaped").count() == 0
    assert tab.locator("img, pre script").count() == 0
    assert tab.locator(".hidden", has_text="\\u202e").count() == 1
    tab.get_by_role("link", name="Show all of it").click()
    tab.wait_for_url("**full=4**")
    assert tab.evaluate("document.querySelector('pre.whole').innerText.length") == 1_000_000
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_alone(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs?q=monday")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    reached, visible = set(), True
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.name || document.activeElement.innerText"))
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        visible &= outline != "none" or tab.evaluate("document.activeElement === document.body")
        if tab.evaluate("document.activeElement.name") == "run":
            tab.keyboard.press("Space")
    assert {"q", "status", "arm", "run", "Compare selected", "Models"} <= reached
    assert visible
    tab.get_by_role("button", name="Compare selected").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/compare?**")


def test_times_are_in_the_viewers_zone(tab: Any, served: Served) -> None:
    tab.goto(f"{served.address}/runs")
    first = tab.locator("time").first
    shown, utc = first.inner_text(), first.get_attribute("datetime")
    expected = tab.evaluate(
        "s => new Date(s).toLocaleString([], {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Tokyo'})", utc
    )
    assert shown == expected


def test_it_works_without_javascript(browser: Any, served: Served) -> None:
    for page in watched(browser.new_context(java_script_enabled=False), served):
        page.goto(f"{served.address}/runs")
        page.get_by_label("Search").fill("wednesday")
        page.get_by_role("button", name="Filter").click()
        assert page.locator("tbody tr").count() == 3
        assert "UTC" in page.locator("time").first.inner_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_phones_width_needs_no_sideways_scrolling(browser: Any, served: Served, name: str) -> None:
    for page in watched(browser.new_context(viewport={"width": 375, "height": 700}), served):
        page.goto(served.address + PAGES[name])
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_dark_mode_is_dark(browser: Any, served: Served) -> None:
    for page in watched(browser.new_context(color_scheme="dark"), served):
        page.goto(served.address + PAGES["compare"])
        red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert max(red, green, blue) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_has_no_serious_findings(browser: Any, served: Served, axe: str, name: str, scheme: str) -> None:
    # The policy of the pages keeps foreign scripts out, axe too: only this test sets it aside.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    for page in watched(context, served):
        page.goto(served.address + PAGES[name])
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [
            f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]} {v['nodes'][0]['failureSummary'][:300]}"
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious
