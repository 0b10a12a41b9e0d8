"""Parameters of the data gates."""

from __future__ import annotations

from pydantic import Field

from components.params import Section

__all__ = ["GateParams"]


class GateParams(Section):
    """Section ``gates``: how often the gates inside the RL loop run."""

    every: int = Field(default=25, ge=1)
