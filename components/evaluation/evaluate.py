"""Evaluate one policy on held-out problems and publish what was found.

The directory holds ``rollouts.parquet`` (every completion with its token ids), ``verified.parquet`` (every
verdict and cluster), ``per_problem.parquet`` (every metric for each problem: what paired comparisons need) and
``metrics.json`` (means with intervals, and what they were made from).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.errors import PolyEpoError
from components.evaluation.measure import VERIFIED, Measurement, measure
from components.evaluation.params import EvaluationParams
from components.evaluation.parts import Parts
from components.evaluation.top_up import complete_rollouts, first_samples, stored_rollouts
from components.manifest import fingerprint, is_published, publish, read_manifest, write_json
from components.records import (
    PROBLEM,
    ROLLOUT,
    FinishReason,
    Problem,
    problems_from_table,
    read_records,
    write_records,
)
from components.rollout.engine import RolloutEngine
from components.scoring.params import ScoringParams
from components.scoring.verification import Verification

__all__ = ["METRICS_NAME", "content_digest", "evaluate", "prompts_digest", "publish_measured"]

METRICS_NAME = "metrics.json"

# Sampling is never truncated or tempered unless the rollout settings say so: stated because numbers depend on it.
_SAMPLING_DEFAULTS: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": None}


def evaluate(
    policy: Path,
    problems_file: Path,
    out: Path,
    *,
    params: EvaluationParams,
    scoring: ScoringParams,
    engine: Callable[[], RolloutEngine],
    rollout_settings: dict[str, Any],
    top_up: bool = False,
) -> bool:
    """Sample, verify and measure; publish ``out``. Does nothing where that very content stands already.

    Samples that ``out`` holds are used again where they are what this call would draw: other ks, another verifier
    or other intervals never cost a new sample.

    Args:
        policy: policy directory.
        problems_file: PROBLEM Parquet file; every problem in it is evaluated.
        out: directory to publish.
        params: section ``evaluation``.
        scoring: section ``scoring``.
        engine: makes the rollout engine; called only when there is something to sample.
        rollout_settings: what else decides the completions, for the fingerprint.
        top_up: sample only what is missing to ``params.samples`` and keep every sample ``out`` has, those of a call
            that was killed included. Without it the result is independent of what was there before, as a stage's
            must be.

    Returns:
        Whether anything was done.

    Raises:
        PolyEpoError: an input is missing or malformed, or the policy cannot be sampled.
    """
    dataset_digest, policy_digest = content_digest(problems_file), content_digest(policy)
    content = fingerprint(params.model_dump(), scoring.identity(), rollout_settings, dataset_digest, policy_digest)
    if is_published(out, content):
        return False
    problems = problems_from_table(read_records(problems_file, PROBLEM))
    sampling = {"policy": policy_digest, "dataset": dataset_digest, "seed": params.seed, "rollout": rollout_settings}
    stored = stored_rollouts(out, sampling, exactly=None if top_up else params.samples)

    def loaded() -> RolloutEngine:
        sampler = engine()
        sampler.load_policy(policy, 0)
        return sampler

    parts = Parts(out, sampling) if top_up else None
    rollouts = complete_rollouts(stored, problems, params.samples, seed=params.seed, engine=loaded, parts=parts)
    chunks = _chunks(out, stored, rollouts, len(problems))
    facts: dict[str, Any] = {"sampling": sampling, "chunks": chunks}
    if parts is not None and (drawn := max(Parts.count(len(problems), chunk) for chunk in chunks)) > 1:
        facts["parts"] = drawn  # seeds of their own: not the samples that one call would draw
    publish_measured(
        out,
        rollouts,
        problems,
        params=params,
        scoring=scoring,
        content=content,
        conditions={**_sampling(rollout_settings), "dataset": dataset_digest, "policy": policy_digest},
        facts=facts,
    )
    if parts is not None:
        parts.remove()
    return True


def publish_measured(
    out: Path,
    rollouts: pa.Table,
    problems: list[Problem],
    *,
    params: EvaluationParams,
    scoring: ScoringParams,
    content: str,
    conditions: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Measure the first ``params.samples`` completions of each problem and publish them with all of ``rollouts``.

    Args:
        content: fingerprint of the directory.
        conditions: what metrics.json is to say about sampling and inputs.
        facts: further facts of the manifest.
    """
    measured = first_samples(rollouts, params.samples)
    with Verification(scoring) as verification:
        measurement = measure(measured, problems, verification, scoring, params)
    judged = {
        "truncated": pc.sum(pc.equal(measured.column("finish_reason"), str(FinishReason.LENGTH))).as_py(),
        "verifier": scoring.verifier,
        "clusterer": scoring.clusterer,
        "correct_reward": scoring.correct_reward,
        "prompts": prompts_digest(problems),
    }
    metrics = _metrics(measurement, params) | judged | dict(conditions)
    facts = {"problems": len(problems), "samples": params.samples, **facts}
    with publish(out, fingerprint=content, facts=facts) as directory:
        write_records(directory / "rollouts.parquet", rollouts, ROLLOUT)
        write_records(directory / "verified.parquet", measurement.verified, VERIFIED)
        pq.write_table(measurement.per_problem, directory / "per_problem.parquet", compression="zstd")
        write_json(directory / METRICS_NAME, metrics)


def content_digest(path: Path) -> str:
    """Hex sha256 of a file, or of a directory: its manifest's digest, else that of its files' names and bytes.

    Raises:
        PolyEpoError: there is nothing at ``path``.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if not path.is_dir():
        raise PolyEpoError(
            "no such file or directory", where=str(path), remedy="run the stage that makes it, or `dvc pull`"
        )
    manifest = read_manifest(path)
    if manifest is not None:
        return manifest.digest
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint([(file.relative_to(path).as_posix(), content_digest(file)) for file in files])


def prompts_digest(problems: list[Problem]) -> str:
    """Hex sha256 of what is asked, whatever the order: two evaluations compare only where it is the same."""
    return fingerprint("prompts", sorted((problem.problem_id, problem.prompt) for problem in problems))


def _metrics(measurement: Measurement, params: EvaluationParams) -> dict[str, Any]:
    """metrics.json: intervals by metric, then the conditions under which they hold."""
    conditions = {
        "problems": measurement.per_problem.num_rows,
        "samples": params.samples,
        "ks": params.ks,
        "distinct_samples": params.distinct_samples,
        "confidence": params.confidence,
        "interval": params.interval,
    }
    intervals: dict[str, Any] = dict(measurement.intervals(params))
    return intervals | conditions | measurement.counts


def _sampling(rollout_settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rollout_settings.get(name, default) for name, default in _SAMPLING_DEFAULTS.items()}


def _chunks(out: Path, stored: pa.Table | None, rollouts: pa.Table, problems: int) -> list[int]:
    """Samples per problem drawn by each call so far, e.g. [64, 192] after a top-up from 64 to 256."""
    total = rollouts.num_rows // max(problems, 1)
    manifest = read_manifest(out) if stored is not None else None
    before = list(manifest.facts["chunks"]) if manifest is not None else []
    left = total - sum(before)
    return [*before, left] if left else before
