"""What a batch's advantages will teach: the numbers to watch when training behaves oddly."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from components.objectives.base import Objective
from components.objectives.batch import Bools, Floats, Groups
from components.objectives.clusters import ranks_within_rows
from components.objectives.decomposition import decompose
from components.objectives.poly_epo import PolyEpo

__all__ = ["Diagnostics", "diagnose"]


@dataclass(frozen=True)
class Diagnostics:
    """One number a batch; None where it is not defined.

    Attributes:
        signal_share: share of prompts with max |A| above epsilon. Equal rewards or a single cluster do not decide it.
        wrong_positive_share: share of the wrong completions with A above epsilon: the optimism, and its trap.
        correct_above_wrong: chance that a correct completion has a higher advantage than a wrong one of the same
            prompt (ties count half), averaged over prompts that have both. 1: correct always first; 0.5: blind.
        product_magnitude: mean |A| of the mean-reward x mean-diversity term (``decomposition``; Poly-EPO alone).
        covariance_magnitude: the same of the covariance term.
    """

    signal_share: float | None
    wrong_positive_share: float | None
    correct_above_wrong: float | None
    product_magnitude: float | None
    covariance_magnitude: float | None

    def as_metrics(self) -> dict[str, float]:
        """The numbers that are defined, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def diagnose(
    objective: Objective,
    rewards_PN: ArrayLike,
    clusters_PN: ArrayLike,
    mask_PN: ArrayLike | None = None,
    *,
    correct_above: float = 0.5,
    epsilon: float = 1e-8,
) -> Diagnostics:
    """Diagnostics of one batch.

    Args:
        objective: whose advantages are looked at.
        rewards_PN: as for ``objective.advantages``, (P, N).
        clusters_PN: likewise.
        mask_PN: likewise.
        correct_above: a completion is correct when its reward is above this.
        epsilon: advantages up to this count as none.

    Raises:
        ObjectiveError: as ``objective.advantages``.
    """
    advantages = objective.advantages(rewards_PN, clusters_PN, mask_PN)
    groups = Groups.check(rewards_PN, clusters_PN, mask_PN)
    present = np.ones(advantages.shape, dtype=np.bool_) if groups.mask_PN is None else groups.mask_PN
    correct = (groups.rewards_PN > correct_above) & present
    wrong: Bools = present & ~correct
    product = covariance = None
    if isinstance(objective, PolyEpo):
        terms = decompose(objective, rewards_PN, clusters_PN, mask_PN)
        product = _mean(np.abs(terms.product_PN[present]))
        covariance = _mean(np.abs(terms.covariance_PN[present]))
    return Diagnostics(
        signal_share=_mean(np.abs(advantages).max(axis=1, initial=0.0) > epsilon),
        wrong_positive_share=_mean(advantages[wrong] > epsilon),
        correct_above_wrong=_mean(_correct_above_wrong(advantages, correct, wrong)),
        product_magnitude=product,
        covariance_magnitude=covariance,
    )


def _mean(values: Floats | Bools) -> float | None:
    return float(values.mean()) if values.size else None


def _correct_above_wrong(advantages_PN: Floats, correct_PN: Bools, wrong_PN: Bools) -> Floats:
    """Per prompt with both kinds: the share of (correct, wrong) pairs in the right order, ties counted half."""
    # Rounding: the closed forms give equal completions advantages that may differ in the last bits.
    ranks = ranks_within_rows(np.round(advantages_PN, 12))
    rows, size = ranks.shape
    flat = (ranks + size * np.arange(rows)[:, None]).ravel()
    wrong_PR = np.bincount(flat, weights=wrong_PN.ravel(), minlength=rows * size).reshape(rows, size)
    beaten_PR = np.cumsum(wrong_PR, axis=1) - 0.5 * wrong_PR
    won = (np.take_along_axis(beaten_PR, ranks, axis=1) * correct_PN).sum(axis=1)
    pairs = correct_PN.sum(axis=1) * wrong_PN.sum(axis=1)
    share: Floats = won[pairs > 0] / pairs[pairs > 0]
    return share
