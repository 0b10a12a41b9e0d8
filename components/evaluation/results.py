"""Published evaluations and training histories, read back and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.manifest import read_manifest

__all__ = ["Evaluation", "History", "read_evaluation", "read_history"]


@dataclass(frozen=True)
class Evaluation:
    """One published evaluation.

    Attributes:
        name: the model it belongs to.
        metrics: the document metrics.json.
        per_problem: the table per_problem.parquet (see components.evaluation.measure).
        digest: identity of the directory's content.
    """

    name: str
    metrics: dict[str, Any]
    per_problem: pa.Table
    digest: str

    @property
    def problem_ids(self) -> list[str]:
        """Ids of the problems, in the order of every metric's values."""
        ids: list[str] = self.per_problem.column("problem_id").to_pylist()
        return ids

    @property
    def metric_names(self) -> list[str]:
        """The metrics that have a value for each problem."""
        return [name for name in self.per_problem.column_names if name not in ("problem_id", "samples", "correct")]

    def values(self, metric: str, order: Sequence[str] | None = None) -> NDArray[np.float64]:
        """(P,) values of ``metric``, one per problem, in the order of the problem ids ``order`` or their own.

        Raises:
            PolyEpoError: it was not measured.
        """
        if metric not in self.metric_names:
            raise PolyEpoError(
                "metric was not measured",
                where=f"evaluation {self.name}",
                value=metric,
                remedy=f"measured: {', '.join(self.metric_names)}; add its k to params evaluation and evaluate again",
            )
        values_P = np.asarray(self.per_problem.column(metric).to_numpy(), dtype=np.float64)
        if order is None or list(order) == self.problem_ids:
            return values_P
        place = {name: index for index, name in enumerate(self.problem_ids)}
        return values_P[[place[name] for name in order]]


@dataclass(frozen=True)
class History:
    """The training history of one arm: one record per iteration, and one per evaluation on the validation split."""

    name: str
    iterations: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]


def read_evaluation(name: str, directory: Path) -> Evaluation:
    """The evaluation published at ``directory``.

    Raises:
        PolyEpoError: there is none, or it is damaged.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise PolyEpoError(
            "no evaluation here",
            where=str(directory),
            remedy="run `python -m components.evaluation` for this model first, or `dvc pull`",
        )
    metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    return Evaluation(name, metrics, pq.read_table(directory / "per_problem.parquet"), manifest.digest)


def read_history(name: str, path: Path) -> History:
    """The history.json of an arm.

    Raises:
        PolyEpoError: it is missing, or is not a history.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return History(name, list(document["iterations"]), list(document["evaluations"]))
    except FileNotFoundError as error:
        raise PolyEpoError("no history here", where=str(path), remedy="train this arm first, or `dvc pull`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PolyEpoError(
            f"not a training history: {error!r}", where=str(path), remedy="remove it and run the stage improve again"
        ) from error
