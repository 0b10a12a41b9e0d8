"""Tiny policies and problems for tests of the parts that run a model."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from components.manifest import publish
from components.policy.load import save_policy
from components.policy.params import TinySource
from components.policy.tiny import build_tiny_model
from components.policy.tokenizer import build_character_tokenizer
from components.records import Problem

CHARACTERS = string.ascii_lowercase[:10] + string.digits + "+-=(), "


def tiny_model(
    *, seed: int = 0, hidden_size: int = 16, layers: int = 2
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model whose distributions are far from uniform, so that a wrong position or mask shows."""
    tokenizer = build_character_tokenizer([CHARACTERS])
    source = TinySource(kind="tiny", hidden_size=hidden_size, layers=layers, heads=2)
    model = build_tiny_model(source, tokenizer, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                scale = 0.6 if "embed" in name else 0.25
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return model.eval(), tokenizer


def publish_policy(directory: Path, *, seed: int, hidden_size: int = 16, layers: int = 2) -> Path:
    """Publish a tiny policy as ``directory``."""
    model, tokenizer = tiny_model(seed=seed, hidden_size=hidden_size, layers=layers)
    with publish(directory, fingerprint=f"tiny-{seed}") as temporary:
        save_policy(model, tokenizer, temporary)
    return directory


def problems(prompts: list[str]) -> list[Problem]:
    """One problem per prompt, named p0, p1, ..."""
    return [Problem(f"p{index}", prompt, "", "polynomial", "train", "{}") for index, prompt in enumerate(prompts)]
