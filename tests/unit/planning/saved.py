"""Real models to hold the plan's arithmetic against."""

from __future__ import annotations

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from components.planning.architecture import Architecture

_FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def config_of(architecture: Architecture) -> LlamaConfig | Qwen2Config | Qwen3Config:
    biases = {} if architecture.family == "qwen2" else {"attention_bias": architecture.attention_bias}
    return _FAMILIES[architecture.family][0](
        vocab_size=architecture.vocabulary,
        hidden_size=architecture.hidden,
        intermediate_size=architecture.intermediate,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        head_dim=architecture.head_dim,
        max_position_embeddings=architecture.positions,
        tie_word_embeddings=architecture.tied,
        **biases,
    )


def build(architecture: Architecture, device: str = "cpu") -> PreTrainedModel:
    with torch.device(device):
        return _FAMILIES[architecture.family][1](config_of(architecture))


def saved_bytes(model: PreTrainedModel, tokens: int, *, mixed: bool) -> int:
    """Bytes of the distinct storages that autograd keeps after a forward pass of the decoder, weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    shapes = {parameter.shape[::-1] for parameter in model.parameters()}
    storages: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        # Autocast's copies of the weights are a part of the plan of their own.
        if tensor.untyped_storage().data_ptr() not in weights and tensor.shape not in shapes:
            storages[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros((1, tokens), dtype=torch.int64)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
    ):
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
