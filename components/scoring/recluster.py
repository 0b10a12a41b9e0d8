"""Cluster the completions of a scored file again, with any clusterer: what comparing two of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import PolyEpoError
from components.records import Problem
from components.scoring.clusterers import get_clusterer
from components.scoring.clusters import Group
from components.scoring.groups import Layout
from components.scoring.params import ScoringParams
from components.scoring.verification import Verification

__all__ = ["RECORDED", "ScoredGroups", "read_scored"]

RECORDED = "recorded"
"""Stands for the clusterer whose clusters the file holds."""

_COLUMNS = ("problem_id", "completion", "parsed_answer", "cluster_id")


class ScoredGroups:
    """The groups of a scored file, with their problems.

    Args:
        table: at least problem_id, completion, parsed_answer and cluster_id; rows in any order.
        problems: every problem of the table.
        where: the file, for errors.

    Raises:
        PolyEpoError: no rows, or a problem that ``problems`` lacks.
    """

    def __init__(self, table: pa.Table, problems: Sequence[Problem], where: str) -> None:
        known = {problem.problem_id: problem for problem in problems}
        self._table, self._where = table, where
        self._layout = Layout.of(table.column("problem_id"))
        missing = [name for name in self._layout.problem_ids if name not in known]
        if missing or not table.num_rows:
            raise PolyEpoError(
                "completions of problems that are not given" if missing else "no completions",
                where=where,
                value=missing[:3] or None,
                remedy="name the file of their problems with --problems",
            )
        self._problems = [known[name] for name in self._layout.problem_ids]

    def __len__(self) -> int:
        return len(self._problems)

    def cluster(self, name: str, params: ScoringParams) -> list[list[int]]:
        """Cluster ids of every group by the clusterer ``name``, or those of the file for ``recorded``.

        Raises:
            PolyEpoError: the file lacks what the clusterer reads, or the clusterer fails.
        """
        if name == RECORDED:
            return self._layout.split(self._table.column("cluster_id").to_pylist())
        completions = self._layout.split(self._table.column("completion").to_pylist())
        answers = self._layout.split(self._table.column("parsed_answer").to_pylist())
        strategies = self._layout.split(self._strategies(name, params))
        groups = [Group(*parts) for parts in zip(self._problems, completions, answers, strategies, strict=True)]
        with closing(get_clusterer(params)) as clusterer:
            return [clusters.ids for clusters in clusterer.cluster(groups).clusters]

    def _strategies(self, name: str, params: ScoringParams) -> list[str | None]:
        """The verifier's strategies, which no file keeps; found again only for the clusterer that reads them."""
        if name != "strategy":
            return [None] * self._table.num_rows
        if "finish_reason" not in self._table.column_names:
            raise PolyEpoError(
                "the verifier's strategies cannot be found again without the column finish_reason",
                where=self._where,
                remedy="take the scored.parquet of an iteration",
            )
        with Verification(params) as verification:
            return verification.verify_all(self._table, self._problems).strategies


def read_scored(path: Path) -> pa.Table:
    """A scored.parquet of an iteration, or a verified.parquet of an evaluation.

    Raises:
        PolyEpoError: no such file, or columns are missing.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise PolyEpoError("no readable Parquet file", where=str(path), remedy="name a scored.parquet") from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise PolyEpoError(f"no column {missing[0]!r}", where=str(path), remedy="name a scored.parquet")
    return table
