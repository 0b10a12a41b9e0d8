"""Sizes and reward sums of the clusters of many prompts at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.objectives.batch import DEGENERATE, Batch, Floats, Ints

__all__ = ["ClusterSums", "cluster_sums", "ranks_within_rows"]


@dataclass(frozen=True)
class ClusterSums:
    """Per prompt and label; label 0 is the degenerates, labels 1.. are the clusters (empty ones have size 0).

    Attributes:
        labels_PN: label of each completion.
        sizes_PL: completions a label.
        rewards_PL: reward sum a label.
    """

    labels_PN: Ints
    sizes_PL: Ints
    rewards_PL: Floats

    def of_members(self, values_PL: Floats) -> Floats:
        """``values_PL`` looked up for each completion's own label, (P, N)."""
        return np.take_along_axis(values_PL, self.labels_PN, axis=1)


def cluster_sums(batch: Batch) -> ClusterSums:
    """Count and sum in time linear in the number of completions (plus a sort where ids are large)."""
    rows, size = batch.clusters_PN.shape
    clusters = batch.clusters_PN
    if clusters.max(initial=DEGENERATE) >= size:
        # Ids above N would make wide, empty tables: number them anew within each prompt.
        clusters = np.where(clusters == DEGENERATE, DEGENERATE, ranks_within_rows(clusters))
    labels = clusters - DEGENERATE
    width = int(labels.max(initial=0)) + 1
    flat = (labels + width * np.arange(rows)[:, None]).ravel()
    sizes = np.bincount(flat, minlength=rows * width).reshape(rows, width)
    sums = np.bincount(flat, weights=batch.rewards_PN.ravel(), minlength=rows * width).reshape(rows, width)
    return ClusterSums(labels, sizes, sums.astype(np.float64, copy=False))


def ranks_within_rows(values_PN: Floats | Ints) -> Ints:
    """Dense rank of each value within its row: the smallest is 0, equal values share a rank."""
    order = np.argsort(values_PN, axis=1, kind="stable")
    ordered = np.take_along_axis(values_PN, order, axis=1)
    steps = np.zeros(values_PN.shape, dtype=np.int64)
    np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1, out=steps[:, 1:])
    ranks = np.empty_like(steps)
    np.put_along_axis(ranks, order, steps, axis=1)
    return ranks
