"""What one arm runs with: the sections of params.yaml with the arm's own values put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from components.data.gates.params import GateParams
from components.errors import PolyEpoError
from components.evaluation.params import EvaluationParams
from components.improve.params import ArmsParams, ImproveParams
from components.params import Params
from components.rollout.params import RolloutParams
from components.scoring.params import ScoringParams
from components.training.params import TrainingParams

__all__ = ["ArmSettings"]


@dataclass(frozen=True)
class ArmSettings:
    """Typed settings of one arm."""

    arm: str
    objective: dict[str, Any]
    improve: ImproveParams
    rollout: RolloutParams
    scoring: ScoringParams
    gates: GateParams
    training: TrainingParams
    evaluation: EvaluationParams

    @classmethod
    def of(cls, params: Params, arm: str) -> Self:
        """The settings of ``arm``.

        Raises:
            PolyEpoError: there is no such arm.
        """
        arms = params[ArmsParams].root
        if arm not in arms:
            raise PolyEpoError(
                f"unknown arm {arm!r}", where="params.yaml arms", remedy=f"known arms: {', '.join(arms)}"
            )
        improve = params[ImproveParams]
        overrides = arms[arm].model_dump(include={"learning_rate", "loss_aggregation"}, exclude_none=True)
        return cls(
            arm=arm,
            objective=arms[arm].objective,
            improve=improve,
            rollout=params[RolloutParams],
            scoring=params[ScoringParams],
            gates=params[GateParams],
            training=params[TrainingParams].model_copy(update=overrides),
            evaluation=params[EvaluationParams].limited_to(improve.evaluation_samples),
        )

    def identity(self) -> dict[str, Any]:
        """Everything that decides what a run holds; ``iterations`` is not in it, so that a run can be extended."""
        sections = {
            "rollout": self.rollout,
            "gates": self.gates,
            "training": self.training,
            "evaluation": self.evaluation,
        }
        return {
            "objective": self.objective,
            "improve": self.improve.model_dump(mode="json", exclude={"iterations", "arms"}),
            "scoring": self.scoring.identity(),
            **{name: section.model_dump(mode="json") for name, section in sections.items()},
        }
