"""The live page in Chromium beside a real run: `poly-epo run` trains, the page moves without being loaded again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.browser.conftest import Served, serve, watched
from tests.e2e.conftest import Checkout, kill, make_checkout

__all__ = ["make_checkout"]  # the fixture of a project as a user has it after a clone

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

_ITERATIONS = 40
_MILLISECONDS = 240_000


@pytest.fixture
def training(make_checkout: Any) -> Iterator[Checkout]:
    """A checkout in which a run has just begun."""
    checkout: Checkout = make_checkout("watched")
    params = checkout.root / "params.yaml"
    document = yaml.safe_load(params.read_text())
    document["improve"]["iterations"] = _ITERATIONS  # long enough for the page to be seen moving
    params.write_text(yaml.safe_dump(document))
    process = checkout.start("poly-epo", "run")
    yield checkout
    if process.poll() is None:
        kill(process)


def test_the_page_moves_while_the_pipeline_trains(browser: Any, training: Checkout) -> None:
    for served in serve(training.root, []):
        for page in watched(browser.new_context(), served):
            _follow(page, served)


def _follow(page: Any, served: Served) -> None:
    page.goto(f"{served.address}/runs")
    row = page.locator("tbody tr", has_text="Poly-EPO")
    while not row.count():  # the table is not live: a run shows in it once its first files are published
        page.wait_for_timeout(500)
        page.reload()
    page.goto(f"{served.address}/runs/current:poly_epo")
    page.evaluate("window.loadedOnce = true")
    count = page.locator("#count")
    seen = [count.inner_text()]
    while f"{_ITERATIONS} of" not in seen[-1]:
        count.filter(has_not_text=re.compile(f"^{re.escape(seen[-1])}$")).wait_for(timeout=_MILLISECONDS)
        seen.append(count.inner_text())
    assert len(seen) > 3, f"the page jumped: {seen}"
    assert page.evaluate("window.loadedOnce") is True, "the page was loaded again: it should move by itself"
    assert page.locator("svg").count() > 0
