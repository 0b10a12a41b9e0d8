"""What the expectations look at: one row per table row, numbers and fixed names alone.

The facts a gate checks (lengths, counts per group, finite or not) are worked out here, vectorised, so that the
expectations stay simple statements about columns, and so that no prompt or completion, which are hostile text,
ever reaches a result file or an HTML page.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.data.contamination import find_contamination
from components.data.split import normalise_prompt
from components.errors import PolyEpoError
from components.records import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["problem_frame", "require_columns", "rollout_frame", "scored_frame"]

_LOGPROB_ROUNDING = 1e-6  # a float32 log-softmax may end this far above zero
_ANSWERLESS_DOMAINS = ("reasoning_gym",)  # their scorers accept any valid answer; the column may be empty


def require_columns(table: pa.Table, schema: pa.Schema, gate: str) -> None:
    """Refuse a table whose columns are not those of the record type."""
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise PolyEpoError(
            f"wrong columns: missing {missing}, unknown {unknown}",
            where=f"gate {gate}",
            remedy=f"the columns must be {schema.names}",
        )


def problem_frame(table: pa.Table) -> pd.DataFrame:
    """Facts about each row of a PROBLEM table (all splits together)."""
    import pandas as pd  # noqa: PLC0415

    prompts = [normalise_prompt(prompt or "") for prompt in table["prompt"].to_pylist()]
    splits = table["split"].to_pylist()
    seen = pd.DataFrame({"prompt": prompts, "split": splits}).groupby("prompt")["split"]
    answerless = pc.is_in(table["domain"], value_set=pa.array(_ANSWERLESS_DOMAINS))
    return pd.DataFrame(
        {
            "problem_id_characters": _characters(table, "problem_id"),
            "problem_id_repeats": _repeats(table, "problem_id"),
            "prompt_characters": _characters(table, "prompt"),
            "prompt_repeats": seen.transform("size").to_numpy(),
            "prompt_splits": seen.transform("nunique").to_numpy(),
            "overlapping_train_row": _overlapping_train_rows(table),
            "answer_or_scorer": (_characters(table, "answer") > 0) | _numpy(answerless).astype(bool),
            "domain_characters": _characters(table, "domain"),
            "metadata_is_object": [_is_json_object(text) for text in table["metadata"].to_pylist()],
            "split": splits,
        }
    )


def rollout_frame(table: pa.Table) -> pd.DataFrame:
    """Facts about each row of a ROLLOUT (or wider) table."""
    import pandas as pd  # noqa: PLC0415

    logprobs = table["rollout_logprobs"].combine_chunks()
    tokens, given = _lengths(table, "completion_ids"), _lengths(table, "rollout_logprobs")
    values = _numpy(pc.list_flatten(logprobs)).astype(np.float64)
    wrong = ~np.isfinite(values) | (values > _LOGPROB_ROUNDING)
    owners = _numpy(pc.list_parent_indices(logprobs))
    sample_index = _numpy(table["sample_index"])
    pairs = pd.DataFrame({"problem": _codes(table), "sample": sample_index})
    return pd.DataFrame(
        {
            "group_rows": _repeats(table, "problem_id"),
            "sample_index": sample_index,
            "sample_repeats": pairs.groupby(["problem", "sample"], dropna=False)["problem"].transform("size"),
            "prompt_tokens": _lengths(table, "prompt_ids"),
            "completion_tokens": tokens,
            "logprobs_missing": tokens - given,
            "logprobs_not_allowed": np.bincount(owners[wrong], minlength=table.num_rows),
            "finish_reason": table["finish_reason"].to_pylist(),
            "policy_version": _numpy(table["policy_version"]),
        }
    )


def scored_frame(table: pa.Table) -> pd.DataFrame:
    """Facts about each row of a SCORED_ROLLOUT table; group sums are over the rows of one problem."""
    frame = rollout_frame(table)
    reward = _numpy(table["reward"]).astype(np.float64)
    cluster = _numpy(table["cluster_id"]).astype(np.float64)
    advantage = _numpy(table["marginal_advantage"]).astype(np.float64)
    codes = _codes(table)
    frame["reward"] = reward
    frame["cluster_id"] = cluster
    frame["degenerate_with_strategy"] = (cluster == -1) & (_characters(table, "strategy") > 0)
    frame["full_reward_without_answer"] = (reward >= 1) & _numpy(table["parsed_answer"].is_null()).astype(bool)
    frame["set_objective_is_finite"] = np.isfinite(_numpy(table["set_objective"]).astype(np.float64))
    frame["advantage_is_finite"] = np.isfinite(advantage)
    # Not-finite ones have their own expectation; here they would blot out the whole group.
    frame["group_advantage_sum"] = np.bincount(codes, weights=np.nan_to_num(advantage, posinf=0.0, neginf=0.0))[codes]
    return frame


def _numpy(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.generic]:
    """A column as numpy, nulls as NaN."""
    array: npt.NDArray[np.generic] = (
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else (column.to_numpy())
    )
    return array


def _characters(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Characters besides surrounding white space; 0 for a null."""
    return _numpy(pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(table[name])), 0)).astype(np.int64)


def _lengths(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Elements of each list; 0 for a null."""
    return _numpy(pc.fill_null(pc.list_value_length(table[name]), 0)).astype(np.int64)


def _codes(table: pa.Table) -> npt.NDArray[np.int64]:
    """The group of each row as an integer."""
    encoded = table["problem_id"].combine_chunks().dictionary_encode(null_encoding="encode")
    return _numpy(encoded.indices).astype(np.int64)


def _repeats(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """How many rows share each row's value."""
    encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
    codes = _numpy(encoded.indices).astype(np.int64)
    return np.bincount(codes)[codes] if len(codes) else codes


def _overlapping_train_rows(table: pa.Table) -> npt.NDArray[np.int64]:
    """For each held-out problem the row of a training problem that it overlaps, else -1."""
    prompts = [prompt or "" for prompt in table["prompt"].to_pylist()]
    in_train = np.array([split == Split.TRAIN for split in table["split"].to_pylist()], dtype=bool)
    train_rows, held_out_rows = np.flatnonzero(in_train), np.flatnonzero(~in_train)
    overlapping = np.full(len(prompts), -1, dtype=np.int64)
    for overlap in find_contamination([prompts[row] for row in train_rows], [prompts[row] for row in held_out_rows]):
        overlapping[held_out_rows[overlap.evaluated]] = train_rows[overlap.train]
    return overlapping


def _is_json_object(text: str | None) -> bool:
    try:
        return isinstance(json.loads(text or ""), dict)
    except (ValueError, RecursionError):
        return False
