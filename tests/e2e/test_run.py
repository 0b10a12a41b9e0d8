"""The README's command on the quick profile: a whole run, then nothing to do, at either front door."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

Finished = tuple[Checkout, str]


def test_prints_the_table_the_figures_and_where_to_look(finished: Finished) -> None:
    checkout, printed = finished
    for expected in ("base", "grpo", "poly_epo", "pass@32", "distinct", "poly-epo ui mlflow", "orchestration share"):
        assert expected in printed
    for figure in ("pass_at_k", "distinct_correct", "coverage"):
        for suffix in ("png", "svg"):
            file = checkout.root / f"reports/comparison/figures/{figure}.{suffix}"
            assert file.stat().st_size > 1000


def test_both_arms_trained_from_the_same_base_on_the_same_prompts(finished: Finished) -> None:
    checkout, _ = finished
    histories = {
        arm: json.loads((checkout.root / f"workspace/improve/{arm}/history.json").read_text())
        for arm in ("grpo", "poly_epo")
    }
    assert histories["grpo"]["evaluations"][0] == histories["poly_epo"]["evaluations"][0]
    assert [len(history["iterations"]) for history in histories.values()] == [4, 4]
    assert histories["grpo"]["iterations"][0]["reward_mean"] == histories["poly_epo"]["iterations"][0]["reward_mean"]
    assert histories["grpo"]["iterations"][-1] != histories["poly_epo"]["iterations"][-1]


def test_a_second_run_skips_every_stage_and_dvc_agrees(finished: Finished) -> None:
    checkout, _ = finished
    lock = (checkout.root / "dvc.lock").read_bytes()
    printed = checkout.run("poly-epo", "run").stdout
    assert "10 stages: 10 up to date, 0 done" in printed
    assert "up to date" in checkout.run("dvc", "status").stdout
    repro = checkout.run("dvc", "repro")
    assert "Running stage" not in repro.stdout + repro.stderr
    assert (checkout.root / "dvc.lock").read_bytes() == lock


def test_metrics_plots_and_models_are_shown(finished: Finished) -> None:
    checkout, _ = finished
    assert "reports/comparison/metrics.json" in checkout.run("dvc", "metrics", "show").stdout
    page = checkout.run("dvc", "plots", "show").stdout.strip().removeprefix("file://")
    assert page.endswith("index.html")
    models = checkout.run("poly-epo", "models", "list").stdout
    assert "challenger" in models or "champion" in models


def test_bad_params_are_refused_at_the_door_and_change_nothing(finished: Finished) -> None:
    checkout, _ = finished
    params = checkout.root / "params.yaml"
    before, lock = params.read_text(), (checkout.root / "dvc.lock").read_bytes()
    try:
        params.write_text(before.replace("set_size: 4", "set_size: 8"))
        done = checkout.run("poly-epo", "run", check=False)
    finally:
        params.write_text(before)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "set_size must be smaller than improve.group_size (8)" in lines[0]
    assert (checkout.root / "dvc.lock").read_bytes() == lock
