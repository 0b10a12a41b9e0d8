"""Parameters of the reinforcement-learning loop and of its arms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, RootModel

from components.errors import PolyEpoError
from components.objectives import get_objective
from components.params import Section
from components.training.params import LossAggregation

__all__ = ["ArmParams", "ArmsParams", "ImproveParams"]


class ImproveParams(Section):
    """Section ``improve``: the budget, the same for every arm.

    Attributes:
        arms: the arms to train, each a key of section ``arms``.
        iterations: rollout -> score -> update rounds.
        prompts_per_iteration: prompts sampled per iteration.
        group_size: N, completions per prompt.
        minibatches: optimizer steps per iteration; each takes an equal share of the prompts.
        seed: of the prompt order and of sampling; arms with one seed see the same prompts.
        threads: torch threads of one arm; arms run side by side.
        evaluate_every: iterations between evaluations on the validation split (0 and the last are always among them).
        evaluation_samples: completions per validation problem.
        keep_last: newest policies that stay with their trainer's state when the run has ended.
        keep_best: a metric of the validation split, e.g. ``pass@8``: the best policy by it stays too; null: none.
    """

    arms: Annotated[list[str], Field(min_length=1)]
    iterations: int = Field(ge=1)
    prompts_per_iteration: int = Field(ge=1)
    group_size: int = Field(ge=2)
    minibatches: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    evaluate_every: int = Field(10, ge=1)
    evaluation_samples: int = Field(32, ge=1)
    keep_last: int = Field(1, ge=1, exclude=True)
    keep_best: str | None = Field(None, min_length=1, exclude=True)


class ArmParams(Section):
    """One arm: its objective, and what it trains with other than section ``training`` says."""

    objective: dict[str, Any]
    learning_rate: float | None = Field(None, gt=0)
    loss_aggregation: LossAggregation | None = None


class ArmsParams(RootModel[dict[str, ArmParams]]):
    """Section ``arms``: name -> arm."""

    def check_against(self, improve: ImproveParams, where: str) -> None:
        """Refuse an unknown arm, an unknown objective, and sets that are not smaller than the group.

        Raises:
            PolyEpoError: naming the key of params.yaml.
        """
        if improve.minibatches > improve.prompts_per_iteration:
            raise PolyEpoError(
                f"more minibatches than the {improve.prompts_per_iteration} prompts of an iteration",
                where=f"{where}: improve.minibatches",
                value=improve.minibatches,
                remedy="lower it; a group is never divided between optimizer steps",
            )
        for name in improve.arms:
            if name not in self.root:
                raise PolyEpoError(
                    f"arm {name!r} is not defined",
                    where=f"{where}: improve.arms",
                    remedy=f"add it under arms, or use one of: {', '.join(self.root)}",
                )
        for name, arm in self.root.items():
            _check_objective(arm.objective, f"{where}: arms.{name}.objective")
        for name in improve.arms:
            _check_set_size(self.root[name].objective, improve.group_size, f"{where}: arms.{name}.objective.set_size")


def _check_objective(objective: dict[str, Any], where: str) -> None:
    if not isinstance(objective.get("name"), str):
        raise PolyEpoError("an objective needs a name", where=where, value=objective, remedy="e.g. {name: grpo}")
    try:
        get_objective(**objective)
    except (ValueError, TypeError) as error:
        raise PolyEpoError(str(error), where=where) from error


def _check_set_size(objective: dict[str, Any], group_size: int, where: str) -> None:
    set_size = objective.get("set_size")
    if isinstance(set_size, int) and set_size >= group_size:
        raise PolyEpoError(
            f"set_size must be smaller than improve.group_size ({group_size}): with n = N every advantage is 0",
            where=where,
            value=set_size,
            remedy=f"use at most {max(group_size // 2, 1)} (about half the group) or raise improve.group_size",
        )
