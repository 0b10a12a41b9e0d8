"""Parameters of the policy update."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.params import Section

__all__ = ["LoraParams", "LossAggregation", "TrainingParams"]

LossAggregation = Literal["max_length", "own_length", "token"]


class LoraParams(Section):
    """Key ``training.lora``: small trained matrices beside frozen weights, added to them when a policy is saved.

    Attributes:
        rank: of the matrices.
        alpha: their product is scaled by alpha / rank.
        target_modules: names of the linear layers that get them, or all of them but the head.
        seed: of their start.
    """

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    seed: int = Field(0, ge=0)


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
    kl_coefficient: float = Field(0.0, ge=0)
    entropy_coefficient: float = 0.0
    overlong: Literal["keep", "mask"] = "keep"
    max_skipped_steps: int = Field(3, ge=0)
    micro_batch_tokens: int = Field(16384, ge=1)
    advantage_epsilon: float = Field(1e-8, ge=0)
    gradient_checkpointing: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    lora: LoraParams | None = None
    processes: int = Field(1, ge=1, exclude=True)
    launcher: Literal["local", "external"] = Field("local", exclude=True)
