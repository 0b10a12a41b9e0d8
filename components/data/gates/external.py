"""The training problems against an evaluation set from outside: nothing that is evaluated there may be trained on."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa

from components.data.contamination import Overlap, find_contamination
from components.data.params import FileSource
from components.data.source import Candidate, open_source
from components.errors import PolyEpoError

__all__ = ["refuse_contamination"]

logger = logging.getLogger(__name__)

_SHOWN = 5


def refuse_contamination(train: pa.Table, file: Path) -> None:
    """Pass where no problem of ``file`` (Parquet, JSONL or CSV) equals or overlaps one of ``train`` (PROBLEM schema).

    Raises:
        PolyEpoError: some do; the first pairs of rows are named. Or the file cannot be read.
    """
    candidates = open_source(FileSource(kind="file", path=str(file))).candidates(0)
    overlaps = find_contamination(train["prompt"].to_pylist(), [candidate.prompt for candidate in candidates])
    if overlaps:
        ids = train["problem_id"].to_pylist()
        shown = "; ".join(_named(overlap, candidates, ids) for overlap in overlaps[:_SHOWN])
        left = len(overlaps) - _SHOWN
        raise PolyEpoError(
            f"gate problems failed: {len(overlaps)} of its {len(candidates)} problems are among the training problems",
            where=str(file),
            value=shown + (f"; and {left} more" if left > 0 else ""),
            remedy="remove those rows from the training data, or do not evaluate on them",
        )
    logger.info("gate problems: none of the %d problems of %s is trained on", len(candidates), file)


def _named(overlap: Overlap, candidates: list[Candidate], train_ids: list[str]) -> str:
    how = "equals" if overlap.equal else f"overlaps by {overlap.share:.0%}"
    row = candidates[overlap.evaluated].origin.rsplit(" ", 2)[-2:]
    return f"{' '.join(row)} {how} train row {overlap.train} ({train_ids[overlap.train]})"
