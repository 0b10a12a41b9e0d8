"""The completions of one problem in one iteration, grouped by strategy, and why each earned its advantage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.dashboard.cache import Cache, stamp_of
from components.dashboard.runs import Run
from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME
from components.objectives.explain import CompletionTerms, explain
from components.objectives.poly_epo import PolyEpo
from components.records import DEGENERATE, PROBLEM, SCORED_ROLLOUT, read_records

__all__ = ["Cluster", "Completion", "Group", "Rollouts", "iteration_of"]

_COLUMNS = [
    *("sample_index", "completion", "finish_reason", "parsed_answer", "reward", "cluster_id", "strategy"),
    *("set_objective", "marginal_advantage"),
]


@dataclass(frozen=True)
class Completion:
    """One completion; ``terms`` says where its Poly-EPO advantage comes from, None for other objectives."""

    index: int
    text: str
    finish_reason: str
    answer: str | None
    reward: float
    cluster: int
    strategy: str
    score: float
    advantage: float
    terms: CompletionTerms | None


@dataclass(frozen=True)
class Cluster:
    """Completions of one strategy; the degenerate ones, which have none, come last under cluster -1."""

    id: int
    strategy: str
    completions: list[Completion]

    @property
    def correct(self) -> int:
        """How many of them have a positive reward."""
        return sum(completion.reward > 0 for completion in self.completions)


@dataclass(frozen=True)
class Group:
    """N completions of one problem.

    Attributes:
        clusters: largest first.
        size: N; mean_reward: over the N; strategies: clusters that are no degenerates.
        set_size: n of Poly-EPO, 0 when the advantages are not explained.
        note: why they are not explained, or not trusted.
    """

    clusters: list[Cluster]
    size: int
    mean_reward: float
    strategies: int
    set_size: int
    note: str

    def completion(self, index: int) -> Completion | None:
        """The completion with this sample index."""
        every = (completion for cluster in self.clusters for completion in cluster.completions)
        return next((completion for completion in every if completion.index == index), None)


class Rollouts:
    """Reads scored rollouts by column; what is read is kept until the iteration is published anew."""

    def __init__(self) -> None:
        self._problems, self._groups, self._prompts = Cache(512), Cache(256), Cache(8)

    def problems(self, run: Run, iteration: int) -> list[str]:
        """Ids of the problems of an iteration, in the order of the file; empty when it is not scored.

        Raises:
            PolyEpoError: the file is damaged.
        """
        file, stamp = _scored(run, iteration)
        if file is None or stamp is None:
            return []
        path: Path = file
        return self._problems.get(path, stamp, lambda: _problem_ids(path))

    def group(self, run: Run, iteration: int, problem: str, objective: Mapping[str, Any]) -> Group | None:
        """The completions of ``problem``; None when there are none.

        Args:
            run: an arm.
            iteration: 1, 2, ...
            problem: its id.
            objective: the arm's objective as params.yaml names it.

        Raises:
            PolyEpoError: the file is damaged.
        """
        file, stamp = _scored(run, iteration)
        if file is None or stamp is None or problem not in self.problems(run, iteration):
            return None
        path: Path = file
        key = (path, problem, str(objective))
        return self._groups.get(key, stamp, lambda: _group(_rows(path, problem), objective))

    def prompt(self, run: Run, problem: str) -> str:
        """The prompt of a training problem; "" when the data is not there."""
        if run.source is None:
            return ""
        data = run.source.workspace / "data"
        stamp = stamp_of(data / MANIFEST_NAME)
        if stamp is None:
            return ""
        return self._prompts.get(data, stamp, lambda: _prompts(data)).get(problem, "")


def iteration_of(run: Run, number: int) -> Path | None:
    """The directory of an iteration of ``run``."""
    arm = run.arm_directory
    return None if arm is None else arm / "iterations" / f"{number:06d}"


def _scored(run: Run, number: int) -> tuple[Path | None, object]:
    directory = iteration_of(run, number)
    if directory is None:
        return None, None
    return directory / "scored" / "scored.parquet", stamp_of(directory / "scored" / MANIFEST_NAME)


def _problem_ids(path: Path) -> list[str]:
    column = read_records(path, SCORED_ROLLOUT, columns=["problem_id"]).column("problem_id")
    return list(dict.fromkeys(column.to_pylist()))


def _rows(path: Path, problem: str) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path, columns=_COLUMNS, filters=[("problem_id", "=", problem)])
    except (pa.ArrowInvalid, OSError) as error:
        raise PolyEpoError(f"not readable: {error}", where=str(path), remedy="remove it and score again") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _prompts(data: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for split in ("train", "validation"):
        try:
            table = read_records(data / f"{split}.parquet", PROBLEM, columns=["problem_id", "prompt"])
        except PolyEpoError:
            continue  # the completions can be read without it
        found |= dict(zip(table.column("problem_id").to_pylist(), table.column("prompt").to_pylist(), strict=True))
    return found


def _group(rows: Sequence[Mapping[str, Any]], objective: Mapping[str, Any]) -> Group:
    terms, note = _terms(rows, objective)
    clusters: dict[int, Cluster] = {}
    for row, of_row in zip(rows, terms, strict=True):
        cluster = clusters.setdefault(row["cluster_id"], Cluster(row["cluster_id"], row["strategy"], []))
        cluster.completions.append(_completion(row, of_row))
    ordered = sorted(clusters.values(), key=lambda c: (c.id == DEGENERATE, -len(c.completions), c.id))
    explained = terms[0] is not None if terms else False
    return Group(
        clusters=ordered,
        size=len(rows),
        mean_reward=float(np.mean([row["reward"] for row in rows])),
        strategies=sum(cluster != DEGENERATE for cluster in clusters),
        set_size=int(objective["set_size"]) if explained else 0,
        note=note,
    )


def _completion(row: Mapping[str, Any], terms: CompletionTerms | None) -> Completion:
    return Completion(
        index=row["sample_index"],
        text=row["completion"],
        finish_reason=row["finish_reason"],
        answer=row["parsed_answer"],
        reward=row["reward"],
        cluster=row["cluster_id"],
        strategy=row["strategy"],
        score=row["set_objective"],
        advantage=row["marginal_advantage"],
        terms=terms,
    )


def _terms(
    rows: Sequence[Mapping[str, Any]], objective: Mapping[str, Any]
) -> tuple[Sequence[CompletionTerms | None], str]:
    """Poly-EPO's terms of each completion, or Nones and why there are none."""
    nothing: list[CompletionTerms | None] = [None] * len(rows)
    if objective.get("name") != "poly_epo":
        name = objective.get("name", "")
        baseline = "its reward minus the group's mean reward" if name == "grpo" else "as that objective defines it"
        return nothing, f"The objective is {name or 'not known'}: an advantage is {baseline}."
    options = {key: value for key, value in objective.items() if key != "name"}
    try:
        explained = explain([row["reward"] for row in rows], [row["cluster_id"] for row in rows], PolyEpo(**options))
    except (ValueError, TypeError) as error:
        return nothing, f"The terms cannot be told with the objective of params.yaml: {error}"
    apart = max(abs(t.advantage - r["marginal_advantage"]) for t, r in zip(explained.completions, rows, strict=True))
    if apart > 1e-6:
        return nothing, "params.yaml has changed since: its objective gives other advantages than those of this file."
    return explained.completions, ""
