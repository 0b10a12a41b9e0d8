"""GPU slots: stages that use a GPU wait for one of the slots of a limit that the whole team shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency

from flows.settings import FlowSettings

__all__ = ["GPU_STAGES", "gpu_slot"]

GPU_STAGES = frozenset({"base", "improve", "evaluate", "evaluate_base"})
"""Stages that load a policy, without a matrix's ``@item``."""


@contextmanager
def gpu_slot(settings: FlowSettings, stage: str) -> Iterator[None]:
    """Hold a slot of the limit that ``settings`` name while ``stage`` works; nothing where none is named.

    The server frees the slot of a holder that has died when its lease ends, five minutes later.
    """
    if not settings.gpu_limit or stage.partition("@")[0] not in GPU_STAGES:
        yield
        return
    # A limit that does not exist is an error, not a licence to use any GPU.
    with concurrency(settings.gpu_limit, occupy=1, strict=True):
        yield
