"""LoRA: small trained matrices beside frozen weights (arXiv 2106.09685), through peft.

The policy that is saved has them added to its weights and is a plain model directory. The trainer itself goes on from
the frozen weights of the base policy and its own matrices: adding and taking away again would not give the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from components.errors import PolyEpoError
from components.training.distributed import Ranks
from components.training.params import LoraParams
from components.training.shards import Shards, local_rows, save_shards

__all__ = ["add_adapter", "export_adapter", "load_adapter", "merged_weights", "save_adapter", "without_adapter"]

_NAME = "adapter"
_ADAPTER = "default"
_BASE = ".base_layer."


def add_adapter(model: PreTrainedModel, params: LoraParams) -> None:
    """Put fresh adapters into ``model``, in place, and freeze everything else; the same seed gives the same ones.

    Raises:
        PolyEpoError: the model has no such modules.
    """
    config = LoraConfig(
        r=params.rank, lora_alpha=params.alpha, target_modules=params.target_modules, lora_dropout=0.0, bias="none"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise PolyEpoError(
                "no module of the model has such a name",
                where="training.lora.target_modules",
                value=params.target_modules,
                remedy="use all-linear, or names as q_proj",
            ) from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """The frozen model alone: the base policy."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


@torch.no_grad()
def merged_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` (the model's by name, whole) as a plain model's: adapters added to what they stand beside."""
    modules = dict(model.named_modules())
    merged = {}
    for name, value in weights.items():
        if ".lora_" in name:
            continue
        owner, base, kind = name.partition(_BASE)
        total = value
        if base and kind == "weight":
            layer = modules[owner]
            narrow, wide = (weights[f"{owner}.lora_{part}.{_ADAPTER}.weight"] for part in "AB")
            change = wide @ narrow * layer.scaling[_ADAPTER]
            total = value + (change.T if layer.fan_in_fan_out else change)
        merged[f"{owner}.{kind}" if base else name] = total
    return merged


@torch.no_grad()
def export_adapter(weights: Mapping[str, Tensor], params: LoraParams, directory: Path) -> None:
    """Write the adapters among ``weights`` (the model's by name, whole) into ``directory`` in peft's own format.

    That is what other programs load beside the frozen weights: a rollout server, for one.
    """
    tensors, modules = {}, set()
    for name, value in weights.items():
        owner, lora, part = name.partition(".lora_")
        if lora:
            modules.add(owner.rpartition(".")[2])
            tensors[f"base_model.model.{owner}.lora_{part.replace(f'.{_ADAPTER}.', '.')}"] = value.cpu().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": params.rank,
        "lora_alpha": params.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "bias": "none",
        "inference_mode": True,
    }
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_adapter(model: nn.Module, directory: Path, ranks: Ranks) -> None:
    """Write the adapters into an existing directory; each process its rows."""
    save_shards(dict(_adapters(model)), _NAME, directory, ranks, {})


@torch.no_grad()
def load_adapter(model: nn.Module, directory: Path, ranks: Ranks) -> None:
    """Put saved adapters into the model's.

    Raises:
        PolyEpoError: they are missing or belong to another model.
    """
    with Shards(_NAME, directory) as shards:
        expected = {name: tuple(value.shape) for name, value in _adapters(model)}
        if shards.shapes != expected:
            raise PolyEpoError(
                "the adapter belongs to another model",
                where=str(directory),
                value=sorted({name for name, _ in shards.shapes.items() ^ expected.items()})[:3],
                remedy="remove the arm's directory in the workspace and run again",
            )
        for name, value in _adapters(model):
            local, begin, _ = local_rows(value, ranks)
            local.copy_(shards.rows(name, begin, begin + len(local)))


def _adapters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, value) for name, value in model.named_parameters() if ".lora_" in name)
