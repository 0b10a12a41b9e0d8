"""Running out of memory, told in one line with the settings to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from components.errors import PolyEpoError
from components.training.params import TrainingParams

__all__ = ["explaining_out_of_memory"]

_CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory")


@contextmanager
def explaining_out_of_memory(params: TrainingParams) -> Iterator[None]:
    """Turn torch's errors of an allocation that failed, on a GPU or on the CPU, into one that says what to lower.

    Raises:
        PolyEpoError: there was not enough memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _fault(params, "GPU") from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _CPU_ALLOCATOR):
            raise
        raise _fault(params, "CPU") from error


def _fault(params: TrainingParams, device: str) -> PolyEpoError:
    remedies = [f"lower training.micro_batch_tokens (now {params.micro_batch_tokens}; the gradient stays the same)"]
    if not params.gradient_checkpointing:
        remedies.append("set training.gradient_checkpointing: true")
    if params.lora is None:
        remedies.append("set training.lora")
    return PolyEpoError(
        f"out of {device} memory", where="the update", remedy=", then ".join([*remedies, "use more processes"])
    )
