"""Set objectives: from the rewards and strategy clusters of each prompt's completions to advantages.

    objective = get_objective("poly_epo", set_size=4)
    advantages_PN = objective.advantages(rewards_PN, clusters_PN)

One objective per file; numpy alone. See docs/objectives.md for the list and for how to add your own.
"""

from components.objectives.base import Objective
from components.objectives.batch import DEGENERATE, Batch
from components.objectives.errors import ObjectiveError
from components.objectives.registry import get_objective, known_objectives

__all__ = ["DEGENERATE", "Batch", "Objective", "ObjectiveError", "get_objective", "known_objectives"]
