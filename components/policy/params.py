"""Parameters of the base policy: which model, and how a tiny one is warm-started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from components.params import Section

__all__ = ["CHAMPIONS", "GgufSource", "HubSource", "PathSource", "PolicyParams", "TinySource", "WarmStart"]


CHAMPIONS = Path(".poly-epo/champions")
"""Policies of the registry that are gone on from, each in a directory named by its digest."""


class TinySource(Section):
    """A Qwen3-architecture model of well under 1M parameters with a character tokenizer, built from scratch."""

    kind: Literal["tiny"]
    hidden_size: int = Field(96, ge=8)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)


class PathSource(Section):
    """A local directory in the Hugging Face format (safetensors, config, tokenizer)."""

    kind: Literal["path"]
    path: str


class HubSource(Section):
    """A model of the Hugging Face hub, pinned to a revision."""

    kind: Literal["hub"]
    name: str
    revision: str = "main"


class GgufSource(Section):
    """A GGUF file, dequantized to float32; ``package`` finds it inside an installed Python package."""

    kind: Literal["gguf"]
    file: str
    package: str | None = None


class WarmStart(Section):
    """Supervised training on the demonstrations of the data stage before any reinforcement learning."""

    steps: int = Field(ge=1)
    prompts_per_step: int = Field(ge=1)
    completions_per_prompt: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)


class PolicyParams(Section):
    """Section ``policy`` of params.yaml.

    ``champion`` is the digest of a registered policy to go on from: ``source`` and ``warm_start`` then wait. Its files
    are those that `poly-epo models fetch` puts below ``.poly-epo/champions``.
    """

    source: Annotated[TinySource | PathSource | HubSource | GgufSource, Field(discriminator="kind")]
    warm_start: WarmStart | None = None
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
    champion: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a champion, what a policy is made from is what it was before there was this key."""
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if name != "champion" or value is not None}
