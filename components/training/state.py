"""The trainer's state on disk: optimizer moments as safetensors, never a pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from components.errors import PolyEpoError
from components.policy.load import writing_weights

__all__ = ["load_optimizer", "save_optimizer"]

_FILE = "optimizer.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_optimizer(optimizer: torch.optim.Optimizer, model: PreTrainedModel, steps: int, directory: Path) -> None:
    """Write AdamW's moments by parameter name, and the number of optimizer steps taken."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for moment in _MOMENTS:
            state = optimizer.state.get(parameter)
            if state:
                tensors[f"{moment}.{name}"] = state[moment].contiguous()
    with writing_weights():
        save_file(tensors, directory / _FILE, metadata={"steps": str(steps)})


def load_optimizer(optimizer: torch.optim.Optimizer, model: PreTrainedModel, directory: Path) -> int:
    """Put the moments back into ``optimizer``; returns the number of optimizer steps taken.

    Raises:
        PolyEpoError: the state belongs to another model.
    """
    with safe_open(directory / _FILE, framework="pt") as file:
        steps = int(file.metadata()["steps"])
        names = set(file.keys())
        expected = {f"{moment}.{name}" for name, _ in model.named_parameters() for moment in _MOMENTS}
        if names != expected and names:
            raise PolyEpoError(
                "the trainer's state belongs to another model",
                where=str(directory),
                value=sorted(names ^ expected)[:3],
                remedy="remove the arm's directory in the workspace and run again",
            )
        if not names:
            return steps
        for name, parameter in model.named_parameters():
            optimizer.state[parameter] = {
                "step": torch.tensor(float(steps)),
                **{moment: file.get_tensor(f"{moment}.{name}").to(parameter.device) for moment in _MOMENTS},
            }
    return steps
