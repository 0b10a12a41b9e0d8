"""Several processes as one trainer: who computes which micro-batch, and a model whose weights are divided (FSDP2).

One process is the special case: ``SINGLE`` divides nothing, and no process group is needed. Under `torchrun` every
rank runs the same trainer on the same scored batch; a micro-batch is computed by one rank, and gradients are summed
(not averaged): each token's weight holds the normaliser of the whole optimizer step already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from components.errors import PolyEpoError

__all__ = ["SINGLE", "Forward", "Ranks", "as_tensor", "divided", "gathered", "join", "release"]

T = TypeVar("T")
_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process among ``size`` of them.

    Attributes:
        rank, size: number of this process, and how many there are.
        device: where it computes.
        mesh: over all of them; None for a single process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    mesh: DeviceMesh | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def own(self, items: Sequence[T]) -> Iterator[tuple[T, bool]]:
        """The items that this process computes, and whether they count.

        All processes get equally many, for they gather weights from each other at every one: where there are not
        enough, an item is computed once more and does not count.
        """
        for start in range(0, len(items), self.size):
            place = start + self.rank
            yield items[min(place, len(items) - 1)], place < len(items)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, the same on each."""
        if self.mesh is None:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        result: list[float] = total.tolist()
        return result

    def wait(self) -> None:
        """Until all processes are here."""
        if self.mesh is not None:
            dist.barrier()


SINGLE = Ranks()


def join() -> Ranks:
    """Enter the process group that `torchrun` describes in the environment.

    Raises:
        PolyEpoError: the process was not started by `torchrun`, or there are more processes than GPUs on a machine.
    """
    if "RANK" not in os.environ:
        raise PolyEpoError("not started by torchrun", where="the trainer", remedy="see docs/scale.md")
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise PolyEpoError(
                f"more trainer processes than the {torch.cuda.device_count()} GPUs of this machine",
                where="training.processes",
                value=int(os.environ["LOCAL_WORLD_SIZE"]),
                remedy="one process a GPU",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_TIMEOUT, device_id=device)
    else:
        device = torch.device("cpu")
        dist.init_process_group("gloo", timeout=_TIMEOUT)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    return Ranks(dist.get_rank(), dist.get_world_size(), device, mesh)


class Forward(nn.Module):
    """A function of a model and its inputs as a module, so that its weights can be gathered for the whole of it."""

    def __init__(self, model: PreTrainedModel, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.model = model
        self._function = function

    def forward(self, *arguments: Any, **options: Any) -> tuple[Tensor, ...]:
        """What the function returns, in tensors of their own: FSDP2 hangs a hook on each."""
        return tuple(value.clone() for value in self._function(self.model, *arguments, **options))


def divided(forward: Forward, ranks: Ranks, *, mixed: bool) -> Forward:
    """Divide the weights of ``forward.model`` among all processes, layer by layer; one process keeps them whole.

    With ``mixed`` the gathered weights are bfloat16 and gradients are summed in float32; the divided weights, which
    the optimizer updates, stay float32.
    """
    if ranks.mesh is None:
        return forward
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mixed else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in _layers(forward.model):
        _summing(fully_shard(layer, mesh=ranks.mesh, mp_policy=policy))
    _summing(fully_shard(forward, mesh=ranks.mesh, mp_policy=policy))
    return forward


def release(forward: Forward) -> None:
    """Let go of weights that a forward pass without a backward pass left gathered."""
    if isinstance(forward, FSDPModule):
        forward.reshard()


def gathered(model: PreTrainedModel, ranks: Ranks) -> dict[str, Tensor] | None:
    """All weights of a divided model by name, on the CPU of the first process; {} elsewhere, None for one process.

    One weight after the other is gathered: no process ever holds all of them on its device.
    """
    if ranks.mesh is None:
        return None
    weights: dict[str, Tensor] = {}
    names: dict[int, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        # A tied weight stays one tensor under two names, or it would be stored twice.
        known = names.setdefault(id(value), name)
        whole = as_tensor(value.detach()) if known == name else None
        if ranks.is_first:
            weights[name] = weights[known] if whole is None else whole.cpu()
    return weights


def as_tensor(value: Tensor) -> Tensor:
    """The whole of a divided tensor, on every process; another tensor as it is. All processes must call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _summing(module: FSDPModule) -> None:
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)


def _layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder's layers: the longest list of modules there is."""
    longest: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) > len(longest):
            longest = list(module)
    return longest
