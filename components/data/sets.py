"""Evaluation sets as published directories: ``DIR/problems.parquet`` of a named set or of the user's own file.

problems_file = named_set("champ", Path(".poly-epo/sets"))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.data.evaluation_sets import EVALUATION_SETS
from components.data.params import FileSource, SourceParams
from components.data.source import Candidate, open_source
from components.data.split import refuse_duplicate_ids
from components.errors import PolyEpoError
from components.manifest import fingerprint, is_published, publish
from components.records import (
    PROBLEM,
    Problem,
    Split,
    problems_from_table,
    problems_to_table,
    read_records,
    write_records,
)

__all__ = ["named_set", "problems_of_file", "slice_of", "spread"]

PROBLEMS_NAME = "problems.parquet"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def named_set(name: str, root: Path) -> Path:
    """The problem file of a set in EVALUATION_SETS, made below ``root`` when it is not there yet.

    Raises:
        PolyEpoError: no set of this name, its source cannot be read, or it has another number of problems.
    """
    chosen = EVALUATION_SETS.get(name)
    if chosen is None:
        raise PolyEpoError(
            "no evaluation set of this name",
            where="--set",
            value=name,
            remedy=f"known: validation, test, {', '.join(EVALUATION_SETS)}; or give --problems FILE",
        )
    return _make(chosen.source, root / name, expected=chosen.problems)


def problems_of_file(path: Path, root: Path, *, domain: str = "math") -> Path:
    """A problem file for the user's own JSONL, CSV or Parquet file: the file itself where it is one already.

    Raises:
        PolyEpoError: the file is missing or malformed; the line names row and column.
    """
    if path.suffix == ".parquet" and path.is_file() and _is_problem_file(path):
        return path
    label = _UNSAFE.sub("-", path.stem) or "file"
    return _make(FileSource(kind="file", path=str(path), domain=domain), root / f"file-{label}", expected=None)


def slice_of(problems_file: Path, limit: int, root: Path) -> Path:
    """A problem file of ``limit`` problems spread evenly over ``problems_file``; the file itself if it has no more.

    Raises:
        PolyEpoError: the file is missing or malformed.
    """
    problems = problems_from_table(read_records(problems_file, PROBLEM))
    if limit >= len(problems):
        return problems_file
    chosen = [problems[index] for index in spread(len(problems), limit)]
    ids = fingerprint([(problem.problem_id, problem.prompt, problem.answer) for problem in chosen])
    return _publish(chosen, root / f"slice-{limit}-{ids[:12]}", fingerprint("slice", ids))


def spread(total: int, count: int) -> list[int]:
    """``count`` of the indices 0..total-1, evenly spaced, so that a set ordered by topic keeps all its topics."""
    return [int(index) for index in np.floor((np.arange(count) + 0.5) * total / count)]


def _make(params: SourceParams, out: Path, *, expected: int | None) -> Path:
    source = open_source(params)
    content = fingerprint("evaluation set", params.model_dump(mode="json"), source.identity())
    if is_published(out, content):
        return out / PROBLEMS_NAME
    candidates = source.candidates(0)
    refuse_duplicate_ids(candidates)
    if expected is not None and len(candidates) != expected:
        raise PolyEpoError(
            f"holds {len(candidates)} problems where {expected} are known to be",
            where=f"evaluation set {out.name}",
            remedy="the source has changed: pin its revision, or give the problems with --problems FILE",
        )
    return _publish([_problem(candidate) for candidate in candidates], out, content)


def _publish(problems: Sequence[Problem], out: Path, content: str) -> Path:
    with publish(out, fingerprint=content, facts={"problems": len(problems)}) as directory:
        write_records(directory / PROBLEMS_NAME, problems_to_table(problems), PROBLEM)
    return out / PROBLEMS_NAME


def _problem(candidate: Candidate) -> Problem:
    return Problem(
        candidate.problem_id,
        candidate.prompt,
        candidate.answer,
        candidate.domain,
        candidate.split or str(Split.TEST),
        candidate.metadata,
    )


def _is_problem_file(path: Path) -> bool:
    return bool(pq.read_schema(path).names == PROBLEM.names)
