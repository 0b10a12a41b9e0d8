"""Parameters of the policy update."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.params import Section

__all__ = ["LossAggregation", "TrainingParams"]

LossAggregation = Literal["max_length", "own_length", "token"]


class TrainingParams(Section):
    """Section ``training`` of params.yaml; the paper's values are the defaults where it states them.

    ``processes`` and ``launcher`` say where the work is done and are no part of a run's identity: a run may go on with
    another number of processes (docs/scale.md).
    """

    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.95), strict=False)
    max_grad_norm: float = Field(1.0, gt=0)
    clip_ratio_low: float = Field(0.2, gt=0, lt=1)
    clip_ratio_high: float = Field(0.28, gt=0)
    loss_aggregation: LossAggregation = "max_length"
    importance_cap: float | None = Field(2.0, ge=1)
    micro_batch_size: int = Field(64, ge=1)
    advantage_epsilon: float = Field(1e-8, ge=0)
    gradient_checkpointing: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    processes: int = Field(1, ge=1, exclude=True)
    launcher: Literal["local", "external"] = Field("local", exclude=True)
