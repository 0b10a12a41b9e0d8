from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.records import SCORED_ROLLOUT
from components.training.batch import batch_from_table


def table(**changed: object) -> pa.Table:
    """Three problems of two completions each; ``changed`` values go into row 3 (problem p1, sample 1)."""
    rows = [
        {
            "problem_id": f"p{row // 2}",
            "sample_index": row % 2,
            "prompt_ids": [3] * (1 + row // 2),
            "completion_ids": [4] * (row + 1),
            "rollout_logprobs": [-0.5] * (row + 1),
            "completion": "",
            "finish_reason": "stop",
            "policy_version": 0,
            "engine": "test",
            "seed": 0,
            "parsed_answer": None,
            "reward": 0.0,
            "cluster_id": -1,
            "strategy": "",
            "set_objective": 0.0,
            "marginal_advantage": row / 10,
        }
        for row in range(6)
    ]
    rows[3] |= changed
    return pa.Table.from_pylist(rows, schema=SCORED_ROLLOUT)


def test_rows_come_out_as_they_stand_in_the_table() -> None:
    # A slice and two chunks: offsets of list columns do not start at zero.
    both = pa.concat_tables([table().slice(1, 2), table().slice(3, 3)])
    batch = batch_from_table(both, where="x")
    assert batch.problem_ids == ["p0", "p1", "p1", "p2", "p2"]
    assert batch.prompt_ids == [[3], [3, 3], [3, 3], [3, 3, 3], [3, 3, 3]]
    assert [len(ids) for ids in batch.completion_ids] == [len(row) for row in batch.rollout_logprobs] == [2, 3, 4, 5, 6]
    assert batch.advantages_B.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert batch.tokens == 20


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_group_is_never_divided_between_minibatches(count: int) -> None:
    parts = list(batch_from_table(table(), where="x").minibatches(count))
    assert len(parts) == count
    holders = [set(part.problem_ids) for part in parts]
    assert sum(map(len, holders)) == 3
    assert all(len(part) == 2 * len(holder) > 0 for part, holder in zip(parts, holders, strict=True))
    assert sorted(np.concatenate([part.advantages_B for part in parts])) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt_ids": []}, "empty prompt"),
        ({"completion_ids": [], "rollout_logprobs": []}, "empty completion"),
        ({"completion_ids": [1]}, "4 log-probabilities for 1 completion tokens"),
        ({"rollout_logprobs": [0.0, float("nan"), 0.0, 0.0]}, "a log-probability is not finite"),
        ({"rollout_logprobs": [0.0, -1.0, 0.5, 0.0]}, r"a log-probability is above 0 \(0.5\)"),
        ({"marginal_advantage": float("inf")}, "the advantage is not finite"),
    ],
)
def test_a_damaged_row_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(PolyEpoError, match=f"^scored.parquet, problem 'p1', sample 1: {message}"):
        batch_from_table(table(**changed), where="scored.parquet")


def test_a_batch_without_rows_is_refused() -> None:
    with pytest.raises(PolyEpoError, match=r"^scored.parquet: no completions to train on"):
        batch_from_table(table().slice(0, 0), where="scored.parquet")
