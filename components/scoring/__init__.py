"""Scoring: rewards, strategy clusters and marginal set advantages of a batch of rollouts.

    from components.scoring.scorer import Scorer

    with Scorer(params, {"name": "poly_epo", "set_size": 4}) as scorer:
        batch = scorer.score(rollouts, problems)

A *verifier* gives each completion a reward, a parsed answer and (where it can) a reasoning strategy; a
*clusterer* numbers the distinct ones within each problem; the *objective* turns rewards and clusters into
advantages. docs/scoring.md shows how to bring a verifier of your own.
"""

from __future__ import annotations
