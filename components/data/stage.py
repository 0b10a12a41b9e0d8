"""The data stage: source -> split -> Parquet files of problems and worked solutions, published at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.data.params import DataParams, DemonstrationParams
from components.data.seeding import stream
from components.data.source import Source, open_source
from components.data.split import SplitProblems, split_candidates
from components.manifest import fingerprint, is_published, publish
from components.records import DEMONSTRATION, PROBLEM, Problem, problems_to_table, write_records

__all__ = ["data_fingerprint", "make_data"]

logger = logging.getLogger(__name__)

_FORMAT = 1  # raised when the same params would give other bytes


def make_data(params: DataParams, out: Path) -> None:
    """Write ``out``/{train,validation,test,demonstrations}.parquet; nothing is done where they are up to date.

    Raises:
        PolyEpoError: the source is unusable, a problem is in two splits, or the sizes do not fit.
    """
    source = open_source(params.source)
    identity = source.identity()
    digest = data_fingerprint(params, identity)
    if is_published(out, digest):
        logger.info("data: up to date in %s", out)
        return
    split = split_candidates(
        source.candidates(params.seed),
        seed=params.seed,
        validation=params.validation,
        test=params.test,
        max_train=params.max_train,
    )
    demonstrations = make_demonstrations(source, split.train, params.demonstrations, params.seed)
    facts = {**_facts(split), "demonstrations": demonstrations.num_rows, "source": params.source.kind, **identity}
    with publish(out, fingerprint=digest, facts=facts) as directory:
        for name, problems in split.by_split().items():
            write_records(directory / f"{name}.parquet", problems_to_table(problems), PROBLEM)
        write_records(directory / "demonstrations.parquet", demonstrations, DEMONSTRATION)
    logger.info("data: %s -> %s", ", ".join(f"{count} {name}" for name, count in _facts(split).items()), out)


def data_fingerprint(params: DataParams, identity: dict[str, Any]) -> str:
    """What the data of ``params``, read from a source of this ``identity``, are recognised by."""
    return fingerprint("data", _FORMAT, params.model_dump(mode="json"), identity)


def make_demonstrations(source: Source, train: list[Problem], params: DemonstrationParams, seed: int) -> pa.Table:
    """``per_problem`` worked completions of every training problem; DEMONSTRATION schema.

    Exactly ``round(per_problem * wrong_share)`` of each problem's completions are wrong, so that the policy
    warm-started on them is right sometimes and never sure.
    """
    wrong = round(params.per_problem * params.wrong_share)
    rows = [
        {"problem_id": problem.problem_id, "prompt": problem.prompt, "completion": completion}
        for problem in train
        for completion in source.demonstrations(
            problem, count=params.per_problem, wrong=wrong, rng=stream(seed, "demonstrations", problem.problem_id)
        )
    ]
    return pa.Table.from_pylist(rows, schema=DEMONSTRATION)


def _facts(split: SplitProblems) -> dict[str, int]:
    return {
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "duplicates": split.duplicates,
        "conflicting_answers": split.conflicting_answers,
        "unused": split.unused,
    }
