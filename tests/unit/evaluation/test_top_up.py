from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.evaluation.evaluate import evaluate
from components.evaluation.top_up import chunk_seed, complete_rollouts
from components.manifest import read_manifest
from components.records import PROBLEM, ROLLOUT, problems_to_table, read_records, write_records
from components.rollout.engine import RolloutEngine
from components.scoring.params import ScoringParams
from tests.unit.evaluation.reference import ReferenceEngine, polynomial_problems, small_params

SETTINGS = {"max_new_tokens": 12, "batch_size": 64}


class CountingEngine(ReferenceEngine):
    def __init__(self) -> None:
        super().__init__(0.5, 5)
        self.calls: list[tuple[int, int]] = []

    def sample(self, problems: Any, *, group_size: int, seed: int) -> pa.Table:
        self.calls.append((group_size, seed))
        return super().sample(problems, group_size=group_size, seed=seed)


class Evaluated:
    """One policy and problem file, evaluated into one directory again and again."""

    def __init__(self, root: Path, problems: int = 5) -> None:
        self.engine = CountingEngine()
        self.out = root / "out"
        self.policy, self.problems = root / "policy", root / "problems.parquet"
        self.policy.mkdir()
        (self.policy / "config.json").write_text("{}")
        write_records(self.problems, problems_to_table(polynomial_problems(problems)), PROBLEM)

    def run(self, *, top_up: bool = True, settings: dict[str, Any] = SETTINGS, **changes: Any) -> bool:
        return evaluate(
            self.policy,
            self.problems,
            self.out,
            params=small_params(**changes),
            scoring=ScoringParams(),
            engine=lambda: self.engine,
            rollout_settings=settings,
            top_up=top_up,
        )

    def rollouts(self) -> pa.Table:
        return read_records(self.out / "rollouts.parquet", ROLLOUT)

    def metrics(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.out / "metrics.json").read_text())
        return document


@pytest.fixture
def evaluated(tmp_path: Path) -> Evaluated:
    return Evaluated(tmp_path)


def test_a_larger_evaluation_keeps_every_old_sample_and_draws_the_rest(evaluated: Evaluated) -> None:
    assert evaluated.run()
    before = evaluated.rollouts()
    assert evaluated.run(samples=24)
    after = evaluated.rollouts()
    assert evaluated.engine.calls == [(16, 0), (8, chunk_seed(0, 16))]
    kept = after.filter(pa.array([index < 16 for index in after.column("sample_index").to_pylist()]))
    assert kept.combine_chunks().equals(before.combine_chunks())
    rows = after.select(["problem_id", "sample_index"]).to_pylist()
    keys = [(row["problem_id"], row["sample_index"]) for row in rows]
    assert keys == [(f"p{problem:03d}", index) for problem in range(5) for index in range(24)]
    manifest = read_manifest(evaluated.out)
    assert manifest is not None
    assert manifest.facts["chunks"] == [16, 8]
    assert evaluated.metrics()["samples"] == 24
    assert not evaluated.run(samples=24)


def test_the_new_samples_are_not_the_old_ones_again(evaluated: Evaluated) -> None:
    evaluated.run()
    evaluated.run(samples=32)
    texts = evaluated.rollouts().column("completion").to_pylist()
    assert texts[:16] != texts[16:32]
    assert len({chunk_seed(0, 0), chunk_seed(0, 16), chunk_seed(0, 32), chunk_seed(1, 16)}) == 4


def test_other_metrics_cost_no_sample(evaluated: Evaluated) -> None:
    evaluated.run()
    first = evaluated.rollouts()
    assert evaluated.run(ks=[1, 3], bootstrap_draws=300)
    assert evaluated.run(ks=[1, 5], top_up=False)
    assert evaluated.engine.calls == [(16, 0)]
    assert evaluated.rollouts().equals(first)
    assert "pass@5" in evaluated.metrics()
    assert "pass@3" not in evaluated.metrics()


def test_fewer_samples_are_the_first_of_those_stored_and_none_is_lost(evaluated: Evaluated) -> None:
    evaluated.run(samples=32)
    fresh_calls = len(evaluated.engine.calls)
    assert evaluated.run(samples=16)
    assert evaluated.metrics()["samples"] == 16
    assert evaluated.rollouts().num_rows == 5 * 32
    assert evaluated.run(samples=32, ks=[1])
    assert len(evaluated.engine.calls) == fresh_calls


def test_a_stage_never_depends_on_what_was_there_before(evaluated: Evaluated, tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    fresh = Evaluated(tmp_path / "fresh")
    evaluated.run()
    evaluated.run(samples=24)
    evaluated.run(samples=24, top_up=False, ks=[1, 2])
    fresh.run(samples=24, top_up=False, ks=[1, 2])
    assert (evaluated.out / "manifest.json").read_bytes() == (fresh.out / "manifest.json").read_bytes()


@pytest.mark.parametrize("change", [{"max_new_tokens": 13}, {"temperature": 0.5}])
def test_other_conditions_sample_anew(evaluated: Evaluated, change: dict[str, Any]) -> None:
    evaluated.run()
    evaluated.run(settings=SETTINGS | change)
    assert evaluated.engine.calls == [(16, 0), (16, 0)]


def test_another_batch_size_keeps_the_samples_of_a_top_up_alone(evaluated: Evaluated) -> None:
    evaluated.run()
    evaluated.run(settings=SETTINGS | {"batch_size": 8})
    assert len(evaluated.engine.calls) == 1
    evaluated.run(settings=SETTINGS | {"batch_size": 16}, top_up=False)
    assert len(evaluated.engine.calls) == 2


def test_another_policy_or_problem_file_samples_anew(evaluated: Evaluated) -> None:
    evaluated.run()
    (evaluated.policy / "config.json").write_text('{"other": 1}')
    evaluated.run()
    write_records(evaluated.problems, problems_to_table(polynomial_problems(4)), PROBLEM)
    evaluated.run()
    assert len(evaluated.engine.calls) == 3


def test_what_metrics_say_about_themselves(evaluated: Evaluated) -> None:
    evaluated.run(settings=SETTINGS | {"temperature": 0.7})
    metrics = evaluated.metrics()
    said = {key: metrics[key] for key in ("verifier", "clusterer", "max_new_tokens", "temperature", "top_p", "samples")}
    assert said == {
        "verifier": "domain",
        "clusterer": "answer",
        "max_new_tokens": 12,
        "temperature": 0.7,
        "top_p": 1.0,
        "samples": 16,
    }
    assert metrics["ks"] == [1, 2, 4, 8, 16]
    assert {len(metrics[key]) for key in ("dataset", "policy", "prompts")} == {64}


def test_stored_samples_of_other_problems_are_refused() -> None:
    stored = CountingEngine().sample(polynomial_problems(3), group_size=4, seed=0)

    def engine() -> RolloutEngine:
        raise AssertionError("nothing is to be sampled")

    with pytest.raises(PolyEpoError, match="not those of these problems"):
        complete_rollouts(stored, polynomial_problems(4), 3, seed=0, engine=engine)
