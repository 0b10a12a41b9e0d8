"""A policy without a model: completions of the polynomial domain with known accuracy and breadth."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.domains.polynomial import polynomial_prompt, relation_metadata
from components.evaluation.evaluate import evaluate
from components.evaluation.params import EvaluationParams
from components.records import PROBLEM, ROLLOUT, Problem, problems_to_table, write_records
from components.scoring.params import ScoringParams

X_RANGE = 9


def polynomial_problems(count: int) -> list[Problem]:
    """y = x^2 + ix + i for i = 0, 1, ..."""
    return [
        Problem(f"p{i:03d}", polynomial_prompt(i, i), "", "polynomial", "test", relation_metadata(i, i, X_RANGE))
        for i in range(count)
    ]


def right_answer(index: int, x: int) -> str:
    return f"({x},{x * x + index * x + index})"


def rollout_rows(problem_id: str, completions: Sequence[str], *, finish_reason: str = "stop") -> list[dict[str, Any]]:
    return [
        {
            "problem_id": problem_id,
            "sample_index": index,
            "prompt_ids": [1, 2],
            "completion_ids": [3],
            "rollout_logprobs": [-0.5],
            "completion": completion,
            "finish_reason": finish_reason,
            "policy_version": 0,
            "engine": "reference",
            "seed": 0,
        }
        for index, completion in enumerate(completions)
    ]


def rollout_table(groups: dict[str, Sequence[str]], *, finish_reason: str = "stop") -> pa.Table:
    rows = [row for name, texts in groups.items() for row in rollout_rows(name, texts, finish_reason=finish_reason)]
    return pa.Table.from_pylist(rows, schema=ROLLOUT)


class ReferenceEngine:
    """Right with a chance that varies by problem around ``accuracy``, spread over ``breadth`` values of x."""

    def __init__(self, accuracy: float, breadth: int) -> None:
        self.accuracy, self.breadth = accuracy, breadth
        self.loaded: tuple[Path, int] | None = None

    def load_policy(self, directory: Path, version: int) -> None:
        self.loaded = (directory, version)

    def sample(self, problems: Sequence[Problem], *, group_size: int, seed: int) -> pa.Table:
        rng = random.Random(seed)
        groups = {}
        for index, problem in enumerate(problems):
            accuracy = min(1.0, self.accuracy * rng.uniform(0.2, 1.8))
            right = [right_answer(index, rng.randrange(self.breadth)) for _ in range(group_size)]
            groups[problem.problem_id] = [a if rng.random() < accuracy else f"({a[1:3]}" for a in right]
        return rollout_table(groups)


def small_params(**changes: Any) -> EvaluationParams:
    values = {"samples": 16, "ks": [1, 2, 4, 8, 16], "majority_ks": [4, 8], "distinct_samples": 8}
    return EvaluationParams(**{**values, "majority_draws": 200, "bootstrap_draws": 200, **changes})


def publish_evaluation(
    root: Path, name: str, engine: ReferenceEngine, *, problems: int = 12, params: EvaluationParams | None = None
) -> Path:
    """Evaluate ``engine`` on ``problems`` problems; the published directory."""
    policy = root / "policies" / name
    policy.mkdir(parents=True, exist_ok=True)
    (policy / "config.json").write_text(json.dumps({"accuracy": engine.accuracy, "breadth": engine.breadth}))
    problems_file = root / f"test_{problems}.parquet"
    write_records(problems_file, problems_to_table(polynomial_problems(problems)), PROBLEM)
    out = root / "evaluation" / name
    evaluate(
        policy,
        problems_file,
        out,
        params=params or small_params(),
        scoring=ScoringParams(),
        engine=lambda: engine,
        rollout_settings={},
    )
    return out


def history_document(final_distinct: float, *, iterations: int = 60) -> dict[str, Any]:
    """A history whose distinct correct clusters go from 4 to ``final_distinct``."""
    rng = random.Random(f"{final_distinct} {iterations}")
    shares = [min(1.0, 0.5 + index / iterations) for index in range(iterations)]
    return {
        "iterations": [
            {"iteration": index + 1, "reward_mean": share / 2, "coverage": round(share - rng.uniform(0, 0.1), 4)}
            for index, share in enumerate(shares)
        ],
        "evaluations": [
            {
                "iteration": step,
                "pass@1": 0.1,
                "coverage": 1.0,
                "distinct_correct": 4 + (final_distinct - 4) * step / 60,
            }
            for step in range(0, iterations + 1, 10)
        ],
    }
