"""Evaluation: does the policy still find many ways to be right?

Estimators (numpy alone, exact or seeded) and intervals over problems, over pairs, and over seeds and problems:

    values_P = pass_at_k(num_samples=128, num_correct=correct_P, k=32)
    interval = bootstrap_interval(values_P, draws=2000, confidence=0.95, seed=0)

``python -m components.evaluation`` samples and measures a policy, ``python -m components.evaluation.compare``
sets several side by side in a table and figures.
"""

from __future__ import annotations

from components.evaluation.branching import branching_curve, completion_length, token_entropy
from components.evaluation.estimators import (
    Majority,
    coverage,
    distinct_correct,
    effective_correct,
    majority_at_k,
    pass_at_k,
)
from components.evaluation.intervals import Difference, Interval, bootstrap_interval, paired_bootstrap
from components.evaluation.seeds import hierarchical_bootstrap

__all__ = [
    "Difference",
    "Interval",
    "Majority",
    "bootstrap_interval",
    "branching_curve",
    "completion_length",
    "coverage",
    "distinct_correct",
    "effective_correct",
    "hierarchical_bootstrap",
    "majority_at_k",
    "paired_bootstrap",
    "pass_at_k",
    "token_entropy",
]
