"""Parameters of the base policy: which model, and how a tiny one is warm-started."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.params import Section

__all__ = ["GgufSource", "HubSource", "PathSource", "PolicyParams", "TinySource", "WarmStart"]


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
    """Section ``policy`` of params.yaml."""

    source: Annotated[TinySource | PathSource | HubSource | GgufSource, Field(discriminator="kind")]
    warm_start: WarmStart | None = None
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
