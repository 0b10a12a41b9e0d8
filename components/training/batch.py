"""From scored rollouts to the arrays of an update: completions in order, split into minibatches of whole prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.errors import PolyEpoError
from components.records import FinishReason

__all__ = ["ScoredBatch", "batch_from_table", "check_tokens"]

_REMEDY = "the rollouts of this iteration are damaged: remove its directory and run again"
_ROUNDING = 1e-3  # nats by which a sampler's log-probability of a sure token may exceed 0


@dataclass(frozen=True)
class ScoredBatch:
    """B completions with their advantages, grouped by problem in the order of the table.

    Attributes:
        problem_ids: (B,) the problem of each completion.
        prompt_ids, completion_ids: token ids, one list per completion.
        rollout_logprobs: one float32 array per completion, one value per completion token, nats.
        advantages_B: (B,) float64.
        sample_index: (B,) which completion of its problem each one is.
        truncated_B: (B,) bool, true where the completion was cut off at the maximum length.
    """

    problem_ids: list[str]
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    rollout_logprobs: list[npt.NDArray[np.float32]]
    advantages_B: npt.NDArray[np.float64]
    sample_index: list[int]
    truncated_B: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.problem_ids)

    @property
    def tokens(self) -> int:
        """Number of completion tokens."""
        return sum(len(ids) for ids in self.completion_ids)

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> ScoredBatch:
        """The completions at the given row numbers."""
        return ScoredBatch(
            [self.problem_ids[row] for row in rows],
            [self.prompt_ids[row] for row in rows],
            [self.completion_ids[row] for row in rows],
            [self.rollout_logprobs[row] for row in rows],
            self.advantages_B[np.asarray(rows, dtype=np.int64)],
            [self.sample_index[row] for row in rows],
            self.truncated_B[np.asarray(rows, dtype=np.int64)],
        )

    def minibatches(self, count: int) -> Iterator[ScoredBatch]:
        """Split into ``count`` parts of whole prompts (a group is never divided), in order."""
        order = list(dict.fromkeys(self.problem_ids))
        part_of = {problem: index * count // len(order) for index, problem in enumerate(order)}
        for part in range(count):
            yield self.select([row for row, problem in enumerate(self.problem_ids) if part_of[problem] == part])


def batch_from_table(table: pa.Table, *, where: str) -> ScoredBatch:
    """Check a SCORED_ROLLOUT table and take from it what an update needs.

    Raises:
        PolyEpoError: there are no rows, a prompt or completion is empty, log-probabilities do not fit the tokens or
            are none (above 0), or a value is not finite; the message names the problem and the sample.
    """
    if not len(table):
        raise PolyEpoError("no completions to train on", where=where, remedy=_REMEDY)
    problem_ids: list[str] = table["problem_id"].to_pylist()
    prompt_ids = [row.tolist() for row in _split(table["prompt_ids"])]
    completion_ids = [row.tolist() for row in _split(table["completion_ids"])]
    logprobs = [row.astype(np.float32) for row in _split(table["rollout_logprobs"])]
    advantages = table["marginal_advantage"].to_numpy()
    samples: list[int] = table["sample_index"].to_pylist()
    truncated = np.array([reason == FinishReason.LENGTH for reason in table["finish_reason"].to_pylist()], dtype=bool)
    for row, (ids, values) in enumerate(zip(completion_ids, logprobs, strict=True)):
        fault = _fault(prompt_ids[row], ids, values, float(advantages[row]))
        if fault:
            raise PolyEpoError(
                fault,
                where=f"{where}, problem {problem_ids[row]!r}, sample {samples[row]}",
                remedy=_REMEDY,
            )
    return ScoredBatch(
        problem_ids,
        prompt_ids,
        completion_ids,
        logprobs,
        np.asarray(advantages, dtype=np.float64),
        samples,
        truncated,
    )


def check_tokens(batch: ScoredBatch, *, vocabulary: int) -> None:
    """Refuse token ids that the model has no embedding for: a GPU would end the process, not say what is wrong.

    Raises:
        PolyEpoError: naming the first such completion.
    """
    for row, (prompt, completion) in enumerate(zip(batch.prompt_ids, batch.completion_ids, strict=True)):
        for ids in (prompt, completion):
            if min(ids) < 0 or max(ids) >= vocabulary:
                strange = next(token for token in ids if not 0 <= token < vocabulary)
                raise PolyEpoError(
                    f"a token id outside the model's vocabulary of {vocabulary}",
                    where=f"problem {batch.problem_ids[row]!r}, sample {batch.sample_index[row]}",
                    value=strange,
                    remedy=f"rollouts and policy do not belong together; {_REMEDY}",
                )


def _split(column: pa.ChunkedArray) -> list[npt.NDArray[np.generic]]:
    """The rows of a list column as arrays, without a Python object per value."""
    array = column.combine_chunks()
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy()
    return [values[begin:end] for begin, end in pairwise(offsets)]


def _fault(prompt: Sequence[int], ids: Sequence[int], logprobs: npt.NDArray[np.float32], advantage: float) -> str:
    if not prompt or not ids:
        return f"empty {'completion' if prompt else 'prompt'}"
    if len(ids) != len(logprobs):
        return f"{len(logprobs)} log-probabilities for {len(ids)} completion tokens"
    if not np.isfinite(logprobs).all():
        return "a log-probability is not finite"
    if logprobs.max() > _ROUNDING:
        return f"a log-probability is above 0 ({logprobs.max():g})"
    if not np.isfinite(advantage):
        return "the advantage is not finite"
    return ""
