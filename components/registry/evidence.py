"""What a promotion is decided on: one policy's correct counts on every evaluation problem."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.manifest import read_manifest

__all__ = ["Evidence", "ProblemResult", "evidence_of", "read_metrics"]

_COLUMNS = ["problem_id", "samples", "correct", "distinct_correct"]
# How completions were asked for and judged: two evaluations compare only where all of this is equal.
_CONDITIONS = ["temperature", "top_p", "max_new_tokens", "prompts", "verifier", "clusterer", "correct_reward"]


@dataclass(frozen=True)
class ProblemResult:
    """One problem: completions sampled, how many were correct, distinct correct clusters among m of them."""

    samples: int
    correct: int
    distinct_correct: float


@dataclass(frozen=True)
class Evidence:
    """An evaluation, small enough to be kept with a model version.

    Attributes:
        policy: digest (hex sha256) of the evaluated policy directory.
        dataset: digest of the problem file.
        distinct_samples: m, among how many completions distinct correct clusters are counted.
        problems: problem_id -> result.
        unverified: completions on which the verifier failed or timed out; they count as wrong.
        conditions: how completions were sampled and judged, as far as the evaluation says.
    """

    policy: str
    dataset: str
    distinct_samples: int
    problems: dict[str, ProblemResult]
    unverified: int = 0
    conditions: dict[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """The fewest completions of any problem."""
        return min(result.samples for result in self.problems.values())

    def unverified_share(self) -> float:
        """Share of all completions on which the verifier failed or timed out."""
        return self.unverified / sum(result.samples for result in self.problems.values())

    def counts(self, order: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P,) samples and (P,) correct counts of the problems in ``order``."""
        results = [self.problems[name] for name in order]
        return np.array([r.samples for r in results]), np.array([r.correct for r in results])

    def mean_distinct(self) -> float:
        """Distinct correct clusters per problem, mean over problems."""
        return float(np.mean([result.distinct_correct for result in self.problems.values()]))

    def to_json(self) -> str:
        """Deterministic JSON; `from_json` reads it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Evidence:
        """Raises: PolyEpoError: the text is not what `to_json` writes."""
        try:
            document = json.loads(text)
            problems = {name: ProblemResult(**result) for name, result in document.pop("problems").items()}
            return Evidence(problems=problems, **document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PolyEpoError(
                f"unreadable evaluation evidence: {error}",
                where="model registry",
                remedy="register the version again, or promote by hand with `python -m components.registry promote`",
            ) from error


def evidence_of(evaluation: Path) -> Evidence:
    """The evidence in a directory published by the evaluation stage.

    Raises:
        PolyEpoError: it is not published, is damaged, or holds no problems.
    """
    metrics = read_metrics(evaluation)
    rows = _rows(evaluation / "per_problem.parquet")
    problems = {
        row["problem_id"]: ProblemResult(row["samples"], row["correct"], round(row["distinct_correct"], 10))
        for row in rows
    }
    unverified = int(metrics.get("verifier_failures", 0)) + int(metrics.get("verifier_timeouts", 0))
    conditions = {name: metrics[name] for name in _CONDITIONS if name in metrics}
    try:
        return Evidence(
            metrics["policy"], metrics["dataset"], metrics["distinct_samples"], problems, unverified, conditions
        )
    except KeyError as error:
        raise PolyEpoError(
            f"metrics.json lacks {error}", where=str(evaluation), remedy="run the evaluation stage again"
        ) from error


def read_metrics(evaluation: Path) -> dict[str, Any]:
    """metrics.json of a published evaluation.

    Raises:
        PolyEpoError: the evaluation is not published or damaged.
    """
    if read_manifest(evaluation) is None:
        raise PolyEpoError("no such evaluation", where=str(evaluation), remedy="run the evaluation stage first")
    metrics: dict[str, Any] = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path, columns=_COLUMNS)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise PolyEpoError(
            f"cannot read the per-problem results: {error}",
            where=str(path),
            remedy=f"remove {path.parent} and run the evaluation stage again",
        ) from error
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise PolyEpoError("holds no problems", where=str(path), remedy="check data.test in params.yaml")
    return rows
