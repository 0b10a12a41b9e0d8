"""Stored samples are never thrown away: a larger evaluation samples only what it lacks.

The first samples of a problem stay as they are, byte for byte; new ones continue their numbering and come from a
seed derived from (seed, first new index), so that the same top-ups in the same order always give the same samples.
All of them are independent draws from the same policy: every estimator may use them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.errors import PolyEpoError
from components.evaluation.parts import Parts
from components.manifest import fingerprint, read_manifest
from components.records import ROLLOUT, Problem, read_records
from components.rollout.engine import RolloutEngine

__all__ = ["chunk_seed", "complete_rollouts", "first_samples", "stored_rollouts"]

_ROLLOUTS = "rollouts.parquet"
_SPEED_ONLY = ("batch_size",)  # decides how samples are batched, not the distribution they come from


def chunk_seed(seed: int, start: int) -> int:
    """The seed of samples ``start``, ``start`` + 1, ...: ``seed`` itself for the first, below 2^60 for the others."""
    return seed if start == 0 else int(fingerprint("top-up", seed, start)[:15], 16)


def stored_rollouts(out: Path, sampling: Mapping[str, Any], *, exactly: int | None = None) -> pa.Table | None:
    """The samples that ``out`` holds, where they were drawn under the conditions ``sampling``; else None.

    Args:
        out: an evaluation's directory, published or not.
        sampling: policy, data set, seed and rollout settings, as kept among the facts of the manifest.
        exactly: accept only this many samples per problem, drawn in one call with these very settings: what a fresh
            run would draw. Without it settings that only concern speed may differ, and any number will do.

    Raises:
        PolyEpoError: the directory is damaged.
    """
    manifest = read_manifest(out)
    stored = manifest.facts.get("sampling") if manifest is not None else None
    if stored is None:
        return None
    if exactly is not None:
        facts = manifest.facts if manifest is not None else {}
        same = stored == sampling and facts.get("chunks") == [exactly] and facts.get("parts", 1) == 1
    else:
        same = _distribution(stored) == _distribution(sampling)
    return read_records(out / _ROLLOUTS, ROLLOUT) if same else None


def complete_rollouts(
    stored: pa.Table | None,
    problems: Sequence[Problem],
    samples: int,
    *,
    seed: int,
    engine: Callable[[], RolloutEngine],
    parts: Parts | None = None,
) -> pa.Table:
    """``stored`` with what it lacks to ``samples`` completions per problem; ROLLOUT schema, by problem and index.

    Args:
        stored: equally many rows for each of ``problems``, in their order, or None.
        problems: what is evaluated.
        samples: completions wanted per problem; where more are stored they are all kept.
        seed: of the evaluation.
        engine: gives the engine with the policy loaded; called only when something is to be sampled.
        parts: keeps the samples of a call part by part; None: one call of the engine samples them all.
    """
    have = 0 if stored is None else _samples_per_problem(stored, problems)
    if stored is not None and have >= samples:
        return stored
    group_size, chunk = samples - have, chunk_seed(seed, have)
    if parts:
        added = parts.sample(engine, problems, group_size=group_size, seed=chunk)
    else:
        added = engine().sample(problems, group_size=group_size, seed=chunk)
    if stored is None or have == 0:
        return added
    index = added.schema.get_field_index("sample_index")
    numbers = pa.array(added.column("sample_index").to_numpy() + have, pa.int32())
    added = added.set_column(index, ROLLOUT.field("sample_index"), numbers)
    return pa.concat_tables([stored, added]).take(_by_problem(len(problems), have, samples - have)).combine_chunks()


def first_samples(rollouts: pa.Table, samples: int) -> pa.Table:
    """The rows with a sample index below ``samples``."""
    if rollouts.num_rows == 0:
        return rollouts
    return rollouts.filter(pa.array(rollouts.column("sample_index").to_numpy() < samples))


def _by_problem(problems: int, old: int, new: int) -> pa.Array:
    """Row numbers that put each problem's old samples before its new ones."""
    rows_P = np.arange(problems)[:, None]
    old_PS = rows_P * old + np.arange(old)
    new_PS = problems * old + rows_P * new + np.arange(new)
    return pa.array(np.concatenate([old_PS, new_PS], axis=1).ravel())


def _samples_per_problem(stored: pa.Table, problems: Sequence[Problem]) -> int:
    have: int = stored.num_rows // max(len(problems), 1)
    expected = [problem.problem_id for problem in problems for _ in range(have)]
    if stored.column("problem_id").to_pylist() != expected:
        raise PolyEpoError(
            "the stored samples are not those of these problems",
            where="evaluation",
            remedy="choose another --out directory, or remove the old one",
        )
    return have


def _distribution(sampling: Mapping[str, Any]) -> dict[str, Any]:
    rollout = {name: value for name, value in sampling["rollout"].items() if name not in _SPEED_ONLY}
    return {**sampling, "rollout": rollout}
