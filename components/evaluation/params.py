"""Parameters of evaluation: how much is sampled, what is estimated from it, and how intervals are drawn."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.params import Section

__all__ = ["EvaluationParams"]

Ks = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
"""Rising numbers of draws."""


class EvaluationParams(Section):
    """Section ``evaluation`` of params.yaml.

    Attributes:
        samples: completions per problem (s).
        ks: the ks of pass@k, each at most ``samples``.
        majority_ks: the ks of maj@k, each at most ``samples``.
        majority_draws: Monte-Carlo draws per problem behind maj@k where its exact value costs too much.
        distinct_samples: distinct correct clusters are counted among this many of the samples, in expectation.
        branching_positions: token positions at which the branches of the prefix tree are counted.
        bootstrap_draws: resamples of the problems, or draws of the posterior, behind each interval.
        interval: how the interval of a mean is made: ``bayesian``, ``percentile`` or ``bca`` (docs/statistics.md).
        confidence: coverage of the intervals.
        seed: of sampling, of maj@k and of the bootstrap.
        threads: torch threads while sampling.
    """

    samples: int = Field(default=128, ge=1)
    ks: Ks = Field(default=[1, 2, 4, 8, 16, 32, 64])
    majority_ks: Ks = Field(default=[8, 32])
    majority_draws: int = Field(default=1000, ge=1)
    distinct_samples: int = Field(default=64, ge=1)
    branching_positions: Ks = Field(default=[1, 2, 4, 8, 16, 32, 64])
    bootstrap_draws: int = Field(default=2000, ge=100)
    interval: Literal["bayesian", "percentile", "bca"] = "bayesian"
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        wanted = {"ks": self.ks, "majority_ks": self.majority_ks, "distinct_samples": [self.distinct_samples]}
        for name, ks in wanted.items():
            if max(ks) > self.samples:
                raise ValueError(f"{name} holds {max(ks)}, more than the {self.samples} samples per problem")
        for name, ks in (*wanted.items(), ("branching_positions", self.branching_positions)):
            if ks != sorted(set(ks)):
                raise ValueError(f"{name} must rise without repeats")
        return self

    def limited_to(self, samples: int) -> EvaluationParams:
        """These parameters with ``samples`` completions per problem; every k above that is left out."""
        return EvaluationParams.model_validate(
            self.model_dump()
            | {
                "samples": samples,
                "ks": [k for k in self.ks if k <= samples] or [samples],
                "majority_ks": [k for k in self.majority_ks if k <= samples] or [samples],
                "distinct_samples": min(self.distinct_samples, samples),
            }
        )
