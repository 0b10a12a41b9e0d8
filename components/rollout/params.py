"""Parameters of rollout generation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.params import Section

__all__ = ["RolloutParams"]


class RolloutParams(Section):
    """Section ``rollout`` of params.yaml.

    The distribution is never truncated (temperature 1, top_p 1, top_k off): anything else would make the
    importance ratio of the update wrong, so these are not settings.
    """

    engine: Literal["transformers"] = "transformers"
    max_new_tokens: int = Field(ge=1)
    batch_size: int = Field(256, ge=1)
