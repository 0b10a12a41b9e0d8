"""The trainer's state on disk: optimizer moments as safetensors, never a pickle.

Together with the weights (the policy's own directory) this is all there is to it: the learning rate follows from the
number of optimizer steps, the prompts and the random numbers of an iteration from the seed and its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from components.errors import PolyEpoError
from components.training.distributed import SINGLE, Ranks
from components.training.shards import Shards, local_rows, save_shards

__all__ = ["Progress", "load_optimizer", "save_optimizer"]

_NAME = "optimizer"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Progress:
    """Optimizer steps taken so far, and those skipped since the last one."""

    steps: int = 0
    skipped_in_row: int = 0


def save_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, progress: Progress, directory: Path, ranks: Ranks = SINGLE
) -> None:
    """Write AdamW's moments by parameter name, and how far the training came; each process its rows."""
    tensors = {}
    for name, parameter in _trained(model):
        state = optimizer.state.get(parameter)
        if state:
            tensors.update({f"{moment}.{name}": state[moment] for moment in _MOMENTS})
    facts = {"steps": str(progress.steps), "skipped_in_row": str(progress.skipped_in_row)}
    save_shards(tensors, _NAME, directory, ranks, facts)


def load_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, directory: Path, ranks: Ranks = SINGLE
) -> Progress:
    """Put the moments back into ``optimizer``, whatever number of processes wrote them; returns how far they came.

    Raises:
        PolyEpoError: the state belongs to another model, or is not all there.
    """
    with Shards(_NAME, directory) as shards:
        progress = Progress(int(shards.metadata["steps"]), int(shards.metadata["skipped_in_row"]))
        expected = {
            f"{moment}.{name}": tuple(parameter.shape) for name, parameter in _trained(model) for moment in _MOMENTS
        }
        if not shards.shapes:
            return progress
        if shards.shapes != expected:
            raise PolyEpoError(
                "the trainer's state belongs to another model",
                where=str(directory),
                value=sorted({name for name, _ in shards.shapes.items() ^ expected.items()})[:3],
                remedy="remove the arm's directory in the workspace and run again",
            )
        for name, parameter in _trained(model):
            moments = {moment: _read(shards, f"{moment}.{name}", parameter, ranks) for moment in _MOMENTS}
            optimizer.state[parameter] = {
                "step": torch.tensor(float(progress.steps), device=parameter.device),
                **moments,
            }
    return progress


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _read(shards: Shards, key: str, parameter: Tensor, ranks: Ranks) -> Tensor:
    """The moment of ``parameter``, divided as it is."""
    local, begin, _ = local_rows(parameter, ranks)
    rows = shards.rows(key, begin, begin + len(local)).to(parameter.device)
    if not isinstance(parameter, DTensor):
        return rows
    return DTensor.from_local(
        rows, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride()
    )
