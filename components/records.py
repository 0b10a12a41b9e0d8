"""The contract between components: Parquet files with exactly these columns.

Every file that passes from one component to the next is one of the record types below. Reading checks the
columns: an unknown, missing or mistyped column is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import PolyEpoError

__all__ = [
    "DEGENERATE",
    "DEMONSTRATION",
    "PROBLEM",
    "ROLLOUT",
    "SCORED_ROLLOUT",
    "FinishReason",
    "Problem",
    "Split",
    "problems_from_table",
    "problems_to_table",
    "read_records",
    "write_records",
]

from enum import StrEnum

DEGENERATE = -1
"""cluster_id of a completion that belongs to no strategy cluster (paper: cluster 100)."""


class Split(StrEnum):
    """Which part of the data a problem belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class FinishReason(StrEnum):
    """Why the sampler ended a completion (the OpenAI names)."""

    STOP = "stop"
    LENGTH = "length"


def _field(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable)


PROBLEM = pa.schema(
    [
        _field("problem_id", pa.string()),
        _field("prompt", pa.string()),
        _field("answer", pa.string()),  # canonical answer, or the domain's statement of what counts
        _field("domain", pa.string()),  # names the verifier and the strategy parser
        _field("split", pa.string()),
        _field("metadata", pa.string()),  # JSON object
    ]
)

DEMONSTRATION = pa.schema(
    [
        _field("problem_id", pa.string()),
        _field("prompt", pa.string()),
        _field("completion", pa.string()),
    ]
)

ROLLOUT = pa.schema(
    [
        _field("problem_id", pa.string()),
        _field("sample_index", pa.int32()),  # 0..N-1 within the problem
        _field("prompt_ids", pa.list_(pa.int32())),
        _field("completion_ids", pa.list_(pa.int32())),  # includes the end-of-sequence token when there is one
        _field("rollout_logprobs", pa.list_(pa.float32())),  # one per completion token, natural log
        _field("completion", pa.string()),  # decoded text without special tokens; hostile
        _field("finish_reason", pa.string()),
        _field("policy_version", pa.int32()),
        _field("engine", pa.string()),
        _field("seed", pa.int64()),
    ]
)

SCORED_ROLLOUT = pa.schema(
    [
        *ROLLOUT,
        _field("parsed_answer", pa.string(), nullable=True),
        _field("reward", pa.float64()),
        _field("cluster_id", pa.int32()),  # -1 = degenerate
        _field("strategy", pa.string()),  # readable name of the cluster; "" for a degenerate completion
        _field("set_objective", pa.float64()),  # mean set score over the sets that hold this completion
        _field("marginal_advantage", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Problem:
    """One problem of the data set; see the PROBLEM schema for the columns."""

    problem_id: str
    prompt: str
    answer: str
    domain: str
    split: str
    metadata: str = "{}"


def problems_to_table(problems: Iterable[Problem]) -> pa.Table:
    """Table with the PROBLEM schema, one row per problem in the given order."""
    return pa.Table.from_pylist([asdict(problem) for problem in problems], schema=PROBLEM)


def problems_from_table(table: pa.Table) -> list[Problem]:
    """The rows of a PROBLEM table as frozen records."""
    return [Problem(**row) for row in table.to_pylist()]


def write_records(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write ``table`` as Parquet; the same rows always give the same bytes, however the table is chunked.

    Raises:
        PolyEpoError: the table's columns are not those of ``schema``, or a value is missing where one must be.
    """
    _check_schema(table.schema, schema, str(path))
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise PolyEpoError(
                f"column {field.name!r} has missing values", where=str(path), remedy="every row must have one"
            )
    table = table.combine_chunks()
    pq.write_table(table.select(schema.names).cast(schema), path, compression="zstd", write_statistics=False)


def read_records(path: Path, schema: pa.Schema, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of the given record type, all columns or only ``columns``.

    Raises:
        PolyEpoError: the file is missing, is not Parquet, or its columns are not those of ``schema``.
    """
    try:
        _check_schema(pq.read_schema(path), schema, str(path))
        return pq.read_table(path, columns=list(columns) if columns is not None else None)
    except FileNotFoundError as error:
        raise PolyEpoError(
            "file not found", where=str(path), remedy="run the stage that makes it, or `dvc pull`"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise PolyEpoError(
            f"not a readable Parquet file: {error}", where=str(path), remedy="remove it and run its stage again"
        ) from error


def _check_schema(actual: pa.Schema, expected: pa.Schema, where: str) -> None:
    missing = [name for name in expected.names if name not in actual.names]
    unknown = [name for name in actual.names if name not in expected.names]
    if missing or unknown:
        raise PolyEpoError(
            f"wrong columns: missing {missing}, unknown {unknown}",
            where=where,
            remedy=f"the columns must be {expected.names}",
        )
    for field in expected:
        if actual.field(field.name).type != field.type:
            raise PolyEpoError(
                f"column {field.name!r} has type {actual.field(field.name).type}",
                where=where,
                remedy=f"it must be {field.type}",
            )
