"""The sweep's tables: means and differences are those of the values, paired by seed and problem."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from components.evaluation.results import Evaluation, History
from flows.sweep import Trial, TrialResult
from flows.sweep_report import METRICS, sweep_document, sweep_markdown

PROBLEMS = 20


def result(arm: str | None, rate: float, seed: int, level: float) -> TrialResult:
    rng = np.random.default_rng(seed)
    hard = rng.uniform(0, 0.3, PROBLEMS)
    columns = {name: np.clip(hard + level, 0, 1) for name in METRICS}
    table = pa.table({"problem_id": [f"p{i}" for i in range(PROBLEMS)], **columns})
    trial = None if arm is None else Trial(arm, rate, seed)
    history = None if arm is None else History(arm, [], [{"pass@1": 0.0}, {"pass@1": level}])
    return TrialResult(trial, seed, Evaluation("x", {}, table, "digest"), history)


@pytest.fixture
def document() -> dict:
    results = [result(None, 0.0, seed, 0.1) for seed in (0, 1, 2)]
    results += [result("grpo", 1e-3, seed, 0.5) for seed in (2, 0, 1)]
    results += [result("poly_epo", 1e-3, seed, 0.4) for seed in (0, 1, 2)]
    return sweep_document(results, draws=500, confidence=0.95)


def test_a_cell_holds_the_mean_and_each_seed(document: dict) -> None:
    base, grpo, _ = document["cells"]
    assert (base["arm"], base["validation pass@1"]) == ("base", None)
    assert grpo["validation pass@1"] == 0.5
    assert grpo["pass@1"]["value"] == pytest.approx(np.mean(grpo["pass@1"]["by_seed"]), abs=1e-6)
    assert grpo["pass@1"]["low"] <= grpo["pass@1"]["value"] <= grpo["pass@1"]["high"] <= 1.0


def test_differences_are_paired_whatever_the_order_of_the_results(document: dict) -> None:
    rows = {row["difference"]: row for row in document["differences"]}
    assert set(rows) == {"grpo - base", "poly_epo - base", "poly_epo - grpo"}
    # The same problems and seeds on both sides: what is left is exactly the difference of the levels.
    for name, expected in (("grpo - base", 0.4), ("poly_epo - grpo", -0.1)):
        for bound in ("value", "low", "high"):
            assert rows[name]["pass@8"][bound] == pytest.approx(expected, abs=0.02)


def test_markdown_has_a_row_per_cell_and_difference(document: dict) -> None:
    text = sweep_markdown(document)
    assert text.count("\n| grpo | 0.001 |") == 1
    assert "| poly_epo - grpo | 0.001 | -0.100 [" in text
