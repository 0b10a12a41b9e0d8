from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import read_manifest
from components.records import PROBLEM, ROLLOUT, SCORED_ROLLOUT, problems_to_table, read_records, write_records
from components.scoring import __main__ as command
from tests.unit.evaluation.reference import ReferenceEngine, polynomial_problems


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    problems = polynomial_problems(4)
    write_records(tmp_path / "problems.parquet", problems_to_table(problems), PROBLEM)
    rollouts = ReferenceEngine(0.5, 3).sample(problems, group_size=8, seed=0)
    write_records(tmp_path / "rollouts.parquet", rollouts, ROLLOUT)
    return [
        f"--rollouts={tmp_path / 'rollouts.parquet'}",
        f"--problems={tmp_path / 'problems.parquet'}",
        f"--out={tmp_path / 'scored'}",
    ]


def run(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scoring", *options])
    command.main()


def test_scored_rollouts_and_metrics_are_published(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, [*options, '--objective={"name": "poly_epo", "set_size": 4}'])
    assert read_records(tmp_path / "scored" / "scored.parquet", SCORED_ROLLOUT).num_rows == 32
    assert 0 < json.loads((tmp_path / "scored" / "metrics.json").read_text())["reward_mean"] < 1
    manifest = read_manifest(tmp_path / "scored")
    assert manifest is not None
    assert manifest.facts == {"rows": 32}


@pytest.mark.parametrize("objective", ["poly_epo", "[]", '{"set_size": 4}'])
def test_an_objective_that_is_no_named_object_is_refused(
    objective: str, tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PolyEpoError, match="not a JSON object with a name"):
        run(monkeypatch, [*options, f"--objective={objective}"])
    assert not (tmp_path / "scored").exists()
