"""The tiny default policy: a Qwen3 configuration small enough to train on a laptop's CPU in minutes."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from components.errors import PolyEpoError
from components.policy.params import TinySource

__all__ = ["MAX_POSITIONS", "build_tiny_model"]

MAX_POSITIONS = 512


def build_tiny_model(source: TinySource, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> PreTrainedModel:
    """Randomly initialised Qwen3 model for ``tokenizer``'s vocabulary; the same seed gives the same weights.

    Raises:
        PolyEpoError: the hidden size cannot be divided among the heads.
    """
    if source.hidden_size % source.heads or (source.hidden_size // source.heads) % 2:
        raise PolyEpoError(
            f"hidden_size must be an even multiple of heads ({source.heads})",
            where="params.yaml policy.source.hidden_size",
            value=source.hidden_size,
            remedy=f"use a multiple of {2 * source.heads}",
        )
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=source.hidden_size,
        intermediate_size=3 * source.hidden_size,
        num_hidden_layers=source.layers,
        num_attention_heads=source.heads,
        num_key_value_heads=source.heads,
        head_dim=source.hidden_size // source.heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)
