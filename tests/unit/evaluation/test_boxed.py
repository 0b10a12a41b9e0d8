from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.evaluation.adhoc import evaluate_import
from components.evaluation.boxed import last_boxed, verify
from components.evaluation.results import read_evaluation
from components.records import Problem
from tests.unit.evaluation.test_interchange import plan_for

HALF = Problem("h", "What is 1 - 1/2?", "1/2", "math", "test")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} then \boxed{\frac{1}{2", None),
        (r"\boxed{}", None),
        ("no box", None),
        (r"\boxed{" + "9" * 2_000 + "}", None),
        (r"\boxed{" * 50_000, None),
    ],
)
def test_the_last_complete_box_counts(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_equal_values_are_equal_answers() -> None:
    assert verify(HALF, r"\boxed{0.5}").reward == 1.0
    assert verify(HALF, r"\boxed{\frac{1}{2}}").parsed_answer == "1/2"
    assert verify(HALF, r"\boxed{2}").reward == 0.0
    assert verify(HALF, "1/2").reward == 0.0


def test_it_judges_an_import_in_its_child_process(tmp_path: Path) -> None:
    texts = [r"\boxed{\frac12}", r"\boxed{9^{9^{9^9}}}", r"\boxed{3}", "none"]
    file = tmp_path / "s.jsonl"
    file.write_text("".join(json.dumps({"problem_id": "h", "completion": text}) + "\n" for text in texts))
    plan = plan_for(tmp_path, [HALF], verifier="components.evaluation.boxed:verify", timeout_seconds=20.0)
    metrics = read_evaluation("import", evaluate_import(file, plan)).metrics
    assert metrics["pass@1"]["value"] == 0.25
    assert metrics["verifier"] == "components.evaluation.boxed:verify"
