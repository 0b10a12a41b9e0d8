"""The layout of a batch: from rows in any order to (P, N) arrays of problems by completions, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Layout"]

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Where each of R rows stands: problems and slots are numbered in order of appearance.

    Attributes:
        problem_ids: the P distinct problem ids.
        problem_R: (R,) int, the problem of each row.
        slot_R: (R,) int, the row's place among the rows of its problem.
        counts_P: (P,) int, rows per problem; N is their maximum.
    """

    problem_ids: list[str]
    problem_R: NDArray[np.int64]
    slot_R: NDArray[np.int64]
    counts_P: NDArray[np.int64]

    @classmethod
    def of(cls, problem_ids: pa.ChunkedArray | pa.Array) -> Layout:
        """The layout of a column of problem ids."""
        array = problem_ids.combine_chunks() if isinstance(problem_ids, pa.ChunkedArray) else problem_ids
        encoded = pc.dictionary_encode(array)
        problem_R = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        counts_P = np.bincount(problem_R, minlength=len(encoded.dictionary)).astype(np.int64)
        order = np.argsort(problem_R, kind="stable")
        starts_P = np.cumsum(counts_P) - counts_P
        slot_R = np.empty_like(problem_R)
        slot_R[order] = np.arange(len(problem_R)) - np.repeat(starts_P, counts_P)
        return cls(encoded.dictionary.to_pylist(), problem_R, slot_R, counts_P)

    def mask(self) -> NDArray[np.bool_]:
        """(P, N) True where a problem has a completion; all True for equal groups."""
        return np.arange(self.counts_P.max(initial=0))[None, :] < self.counts_P[:, None]

    def dense(self, values_R: NDArray[Any], fill: float) -> NDArray[Any]:
        """(P, N) array of ``values_R``, ``fill`` where a problem has fewer than N rows."""
        values_PN = np.full((len(self.counts_P), self.counts_P.max(initial=0)), fill, dtype=values_R.dtype)
        values_PN[self.problem_R, self.slot_R] = values_R
        return values_PN

    def flat(self, values_PN: NDArray[Any]) -> NDArray[Any]:
        """The inverse of ``dense``: one value per row."""
        return values_PN[self.problem_R, self.slot_R]

    def split(self, values: Sequence[T]) -> list[list[T]]:
        """The values of each problem's rows, in row order."""
        parts: list[list[T]] = [[] for _ in self.problem_ids]
        for problem, value in zip(self.problem_R.tolist(), values, strict=True):
            parts[problem].append(value)
        return parts
