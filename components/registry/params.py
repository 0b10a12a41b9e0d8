"""Section ``registry`` of params.yaml: the registered model and the gate a challenger must pass."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from components.params import Section

__all__ = ["GateMargins", "RegistryParams"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class GateMargins(Section):
    """When a challenger becomes champion. Every check must pass.

    Attributes:
        margins: k -> the lower end of the paired bootstrap interval of the difference of pass@k (challenger minus
            champion) must exceed this; negative values allow a loss of that much.
        distinct_floor: the challenger's distinct correct clusters per problem must be at least this share of the
            champion's.
        min_problems: refuse to decide on fewer evaluation problems.
        min_samples: refuse to decide on fewer completions per problem.
        max_unverified: refuse when the verifier failed or timed out on more than this share of the completions.
        regressions: other evaluation set -> k -> ceiling: the challenger may lose at most this much pass@k there
            (the lower end of the paired interval of the difference must be at least minus the ceiling). A set is a
            directory that holds one evaluation per model, by its path or by its name below ``workspace/sets``.
    """

    margins: dict[int, float] = Field(default={1: 0.0, 8: 0.0, 32: -0.02}, min_length=1)
    distinct_floor: float = Field(default=0.8, ge=0)
    min_problems: int = Field(default=30, ge=1)
    min_samples: int = Field(default=32, ge=1)
    max_unverified: Share = 0.01
    regressions: dict[str, dict[int, float]] = Field(default_factory=dict)

    @field_validator("margins")
    @classmethod
    def _sensible(cls, margins: dict[int, float]) -> dict[int, float]:
        for k, margin in margins.items():
            if k < 1:
                raise ValueError(f"k must be at least 1, not {k}")
            if not -1 <= margin <= 1:
                raise ValueError(f"a margin is a difference of probabilities, between -1 and 1, not {margin}")
        return margins

    @field_validator("regressions")
    @classmethod
    def _ceilings(cls, regressions: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
        for name, ceilings in regressions.items():
            if not name.strip() or not ceilings:
                raise ValueError(f"set {name!r} needs a name and at least one k with its ceiling")
            for k, ceiling in ceilings.items():
                if k < 1 or not 0 <= ceiling <= 1:
                    raise ValueError(f"set {name!r}: k must be at least 1, a ceiling 0 to 1, not {{{k}: {ceiling}}}")
        return regressions


class RegistryParams(Section):
    """The registered model.

    Attributes:
        model: name of the registered model.
        candidate: the arm whose final policy may become champion.
        gate: see `GateMargins`.
    """

    model: str = Field(default="poly-epo", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\- ]*$", max_length=200)
    candidate: str = Field(default="poly_epo", min_length=1)
    gate: GateMargins = GateMargins()
