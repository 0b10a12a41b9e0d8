"""The same bits every time: threads and algorithms of everything that runs a model."""

from __future__ import annotations

import torch

__all__ = ["compute_deterministically"]


def compute_deterministically(threads: int) -> None:
    """Use ``threads`` CPU threads, and on the CPU only algorithms whose result does not depend on their timing.

    Without this the backward pass of an indexed gather adds up its gradients in the order in which the threads come
    by: the same run gives other weights each time. GPUs are left alone: there several kernels have no such variant.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
