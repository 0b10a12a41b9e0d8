"""Parameters of the data stage: where problems come from, and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.params import Section

__all__ = ["DataParams", "DemonstrationParams", "PolynomialSource", "SourceParams"]


class PolynomialSource(Section):
    """All relations y = x^2 + bx + c with b and c in -coefficient_range..coefficient_range."""

    kind: Literal["polynomial"] = "polynomial"
    coefficient_range: int = Field(default=9, ge=1, le=200)
    x_range: int = Field(default=9, ge=1, le=1000)


SourceParams = Annotated[PolynomialSource, Field()]
"""One kind of source, told apart by ``kind``."""


class DemonstrationParams(Section):
    """Worked solutions of the training problems, for the warm start of a tiny policy."""

    per_problem: int = Field(default=64, ge=0)
    wrong_share: float = Field(default=0.5, ge=0.0, le=1.0)


class DataParams(Section):
    """Section ``data``: the source, the split sizes in problems, and the seed of every random choice."""

    source: SourceParams = PolynomialSource()
    seed: int = Field(default=0, ge=0)
    validation: int = Field(default=40, ge=1)
    test: int = Field(default=81, ge=1)
    max_train: int | None = Field(default=None, ge=1)
    demonstrations: DemonstrationParams = DemonstrationParams()
