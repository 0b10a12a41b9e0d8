"""Which prompts an iteration samples: a seeded stream of shuffled epochs, addressed by position.

The prompts of iteration k depend on seed and k alone, so a resumed run neither repeats nor skips any, and two arms
with one seed see the same prompts in the same order.
"""

from __future__ import annotations

import numpy as np

from components.errors import PolyEpoError

__all__ = ["prompt_rows"]


def prompt_rows(problems: int, per_iteration: int, iteration: int, seed: int) -> list[int]:
    """Row numbers of the ``per_iteration`` prompts of a 1-based ``iteration``, each epoch in an order of its own.

    No prompt stands twice in an iteration.

    Raises:
        PolyEpoError: an iteration takes more prompts than there are problems.
    """
    if per_iteration > problems:
        raise PolyEpoError(
            f"an iteration takes more prompts than the {problems} training problems there are",
            where="params.yaml improve.prompts_per_iteration",
            value=per_iteration,
            remedy=f"use at most {problems}, or get more problems",
        )
    # Whole iterations per epoch: the rest of a shuffled epoch is left out, so that no iteration straddles two orders.
    per_epoch = problems // per_iteration
    epoch, place = divmod(iteration - 1, per_epoch)
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(problems).tolist()
    return order[place * per_iteration : (place + 1) * per_iteration]
