"""Evaluate one policy on held-out problems and publish what was found.

The directory holds ``rollouts.parquet`` (every completion with its token ids), ``verified.parquet`` (every
verdict and cluster), ``per_problem.parquet`` (every metric for each problem: what paired comparisons need) and
``metrics.json`` (means with intervals, and what they were made from).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.errors import PolyEpoError
from components.evaluation.measure import VERIFIED, Measurement, measure
from components.evaluation.params import EvaluationParams
from components.manifest import fingerprint, is_published, publish, read_manifest, write_json
from components.records import PROBLEM, ROLLOUT, problems_from_table, read_records, write_records
from components.rollout.engine import RolloutEngine
from components.scoring.params import ScoringParams
from components.scoring.verification import Verification

__all__ = ["METRICS_NAME", "content_digest", "evaluate"]

METRICS_NAME = "metrics.json"


def evaluate(
    policy: Path,
    problems_file: Path,
    out: Path,
    *,
    params: EvaluationParams,
    scoring: ScoringParams,
    engine: Callable[[], RolloutEngine],
    rollout_settings: dict[str, Any],
) -> bool:
    """Sample, verify and measure; publish ``out``. Does nothing where that very content stands already.

    Args:
        policy: policy directory.
        problems_file: PROBLEM Parquet file; every problem in it is evaluated.
        out: directory to publish.
        params: section ``evaluation``.
        scoring: section ``scoring``.
        engine: makes the rollout engine; called only when there is something to do.
        rollout_settings: what else decides the completions, for the fingerprint.

    Returns:
        Whether anything was done.

    Raises:
        PolyEpoError: an input is missing or malformed, or the policy cannot be sampled.
    """
    dataset_digest, policy_digest = content_digest(problems_file), content_digest(policy)
    content = fingerprint(params.model_dump(), scoring.model_dump(), rollout_settings, dataset_digest, policy_digest)
    if is_published(out, content):
        return False
    problems = problems_from_table(read_records(problems_file, PROBLEM))
    sampler = engine()
    sampler.load_policy(policy, 0)
    rollouts = sampler.sample(problems, group_size=params.samples, seed=params.seed)
    with Verification(scoring) as verification:
        measurement = measure(rollouts, problems, verification, scoring, params)
    metrics = _metrics(measurement, params) | {"dataset": dataset_digest, "policy": policy_digest}
    with publish(out, fingerprint=content, facts={"problems": len(problems), "samples": params.samples}) as directory:
        write_records(directory / "rollouts.parquet", rollouts, ROLLOUT)
        write_records(directory / "verified.parquet", measurement.verified, VERIFIED)
        pq.write_table(measurement.per_problem, directory / "per_problem.parquet", compression="zstd")
        write_json(directory / METRICS_NAME, metrics)
    return True


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


def _metrics(measurement: Measurement, params: EvaluationParams) -> dict[str, Any]:
    """metrics.json: intervals by metric, then the conditions under which they hold."""
    # Sampling is never truncated or tempered (components.rollout.params): stated because numbers depend on it.
    conditions = {
        "problems": measurement.per_problem.num_rows,
        "samples": params.samples,
        "distinct_samples": params.distinct_samples,
        "confidence": params.confidence,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    intervals: dict[str, Any] = dict(measurement.intervals(params))
    return intervals | conditions | measurement.counts
