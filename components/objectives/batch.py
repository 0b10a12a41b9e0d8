"""What an objective sees: groups of equal size, checked at the door.

Shapes: P prompts, N completions a prompt (the *group*). Groups that lost a completion come with a mask; they are
packed into one batch per group size, so that no objective ever meets padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.objectives.errors import ObjectiveError

__all__ = ["DEGENERATE", "Batch", "Bools", "Floats", "Groups", "Ints"]

DEGENERATE = -1
"""Cluster id of a completion that belongs to no strategy cluster."""

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Groups of one size.

    Attributes:
        rewards_PN: finite rewards.
        clusters_PN: cluster ids >= 0, or ``DEGENERATE``; an id has a meaning only within its prompt.
        prompts_P: each row's prompt index in the caller's arrays, for error messages.
    """

    rewards_PN: Floats
    clusters_PN: Ints
    prompts_P: Ints

    @property
    def group_size(self) -> int:
        """N: completions a prompt."""
        return int(self.rewards_PN.shape[1])


@dataclass(frozen=True)
class Groups:
    """A caller's checked arrays; ``mask_PN`` is None where every completion is present."""

    rewards_PN: Floats
    clusters_PN: Ints
    mask_PN: Bools | None

    @classmethod
    def check(cls, rewards_PN: ArrayLike, clusters_PN: ArrayLike, mask_PN: ArrayLike | None = None) -> Groups:
        """Check the three arrays, all (P, N). Entries outside the mask are not looked at.

        Raises:
            ObjectiveError: shapes differ or are not (P, N); a reward is NaN or infinite; an id is not an
                integer or is below -1; the mask is not boolean.
        """
        rewards = _numbers(rewards_PN)
        clusters = np.asarray(clusters_PN)
        mask = None if mask_PN is None else np.asarray(mask_PN)
        if rewards.ndim != 2:
            raise ObjectiveError(
                "must be two-dimensional, (prompts, completions)", where="rewards", value=rewards.shape
            )
        for name, array in (("clusters", clusters), ("mask", mask)):
            if array is not None and array.shape != rewards.shape:
                raise ObjectiveError(f"shape differs from rewards' {rewards.shape}", where=name, value=array.shape)
        if mask is not None and mask.dtype != np.bool_:
            raise ObjectiveError("must be boolean", where="mask", value=str(mask.dtype), remedy="True = present")
        if mask is not None and mask.all():
            mask = None
        present = np.True_ if mask is None else mask
        _refuse(~np.isfinite(rewards) & present, rewards, "reward is not a finite number")
        return cls(rewards, _cluster_ids(clusters, present), mask)

    def map(self, function: Callable[[Batch], Floats], absent: float) -> Floats:
        """``function`` of each group size's batch, put back in place; (P, N) with ``absent`` outside the mask."""
        if not len(self.rewards_PN):
            return np.empty(self.rewards_PN.shape)
        if self.mask_PN is None:
            return function(Batch(self.rewards_PN, self.clusters_PN, np.arange(len(self.rewards_PN))))
        result = np.full(self.rewards_PN.shape, absent)
        sizes_P = self.mask_PN.sum(axis=1)
        for size in np.unique(sizes_P):
            prompts = np.flatnonzero(sizes_P == size)
            places = self.mask_PN & (sizes_P == size)[:, None]
            shape = (len(prompts), int(size))
            batch = Batch(self.rewards_PN[places].reshape(shape), self.clusters_PN[places].reshape(shape), prompts)
            result[places] = function(batch).ravel()
        return result


def _numbers(rewards_PN: ArrayLike) -> Floats:
    try:
        return np.asarray(rewards_PN, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ObjectiveError(f"not a (prompts, completions) array of numbers: {error}", where="rewards") from error


def _cluster_ids(clusters: NDArray[Any], present: Bools | np.bool_) -> Ints:
    if clusters.size and clusters.dtype.kind not in "iu":
        if clusters.dtype.kind == "f":
            _refuse((clusters != np.floor(clusters)) & present, clusters, "cluster id is not an integer")
        raise ObjectiveError("cluster ids must have an integer type", where="clusters", value=str(clusters.dtype))
    ids = clusters.astype(np.int64, copy=False)
    _refuse((ids < DEGENERATE) & present, ids, "cluster id is below -1", remedy="-1 marks a degenerate completion")
    return ids


def _refuse(bad_PN: Bools, values: NDArray[Any], what: str, *, remedy: str = "") -> None:
    if bad_PN.any():
        prompt, completion = (int(index) for index in np.argwhere(bad_PN)[0])
        where = f"prompt {prompt}, completion {completion}"
        raise ObjectiveError(what, where=where, value=values[prompt, completion].item(), remedy=remedy)
