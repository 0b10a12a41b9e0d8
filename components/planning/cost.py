"""Floating-point operations and seconds of one iteration, from rates that are inputs with their source stated."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.architecture import Architecture
from components.planning.workload import Workload

__all__ = ["RATES", "Cost", "Rates", "iteration_cost"]


@dataclass(frozen=True)
class Rates:
    """How fast one device is.

    Attributes:
        matmul_flops: operations per second of a plain matrix product in the precision of training.
        utilisation: the share of it that the update is assumed to reach (model FLOPs utilisation).
        bandwidth: bytes per second of the device's memory.
        bandwidth_utilisation: the share of it that sampling is assumed to reach.
        memory: bytes of the device.
        device_type: torch's name of its kind.
        source: where the rates come from.
    """

    matmul_flops: float
    utilisation: float
    bandwidth: float
    bandwidth_utilisation: float
    memory: int
    device_type: str
    source: str


RATES: dict[str, Rates] = {
    "h200": Rates(
        788e12, 0.4, 4.8e12, 0.5, 139 * 2**30, "cuda",
        "788 TFLOP/s: a plain bf16 matrix product measured on an H200; 4.8 TB/s: its data sheet; "
        "40% and 50% of them: assumed until measured",
    ),
    "cpu": Rates(
        70e9, 0.7, 10e9, 0.5, 16 * 2**30, "cpu",
        "70 GFLOP/s of fp32 matrix products on one AVX2 core, 10 GB/s and the shares of both: assumed, not measured",
    ),
}  # fmt: skip
"""Rates by device."""


@dataclass(frozen=True)
class Cost:
    """One iteration, all devices together.

    ``sampling_seconds`` and ``update_seconds`` are wall time; scoring is not estimated.
    """

    update_flops: float
    sampling_flops: float
    tokens_per_second: float
    sampling_seconds: float
    update_seconds: float

    @property
    def seconds(self) -> float:
        """Sampling and update, one after the other."""
        return self.sampling_seconds + self.update_seconds


def iteration_cost(
    architecture: Architecture,
    work: Workload,
    rates: Rates,
    *,
    sequences: int | None = None,
    tokens_per_second: float | None = None,
) -> Cost:
    """The expected cost of one iteration.

    Args:
        architecture: of the policy.
        work: what the iteration computes.
        rates: of one device.
        sequences: how many one device samples at once; None: as many as it is given.
        tokens_per_second: completion tokens that one sampling device makes per second, where it was measured;
            otherwise the time to read the weights and the half-full cache once per token at the assumed bandwidth.
    """
    forward = _forward_flops(architecture, work)
    # Backward costs two forward passes, activation checkpointing a third one.
    update = forward * (3.0 + work.checkpointing + work.old_share)
    rate = tokens_per_second or _bandwidth_bound_rate(architecture, work, rates, sequences or work.concurrent_sequences)
    return Cost(
        update_flops=update,
        sampling_flops=forward,
        tokens_per_second=rate,
        sampling_seconds=work.completion_tokens_total / (rate * work.gpus),
        update_seconds=update / (rates.matmul_flops * rates.utilisation * work.processes),
    )


def _forward_flops(architecture: Architecture, work: Workload) -> float:
    """Two operations per parameter and token, attention over half the length on average, the head on completions."""
    length = work.prompt_tokens + work.mean_completion_tokens
    matrices = 2.0 * architecture.layers * architecture.layer_matrices
    attention = 2.0 * architecture.layers * architecture.query_dim * length
    head = 2.0 * architecture.hidden * architecture.vocabulary
    return work.trained_tokens * (matrices + attention) + work.completion_tokens_total * head


def _bandwidth_bound_rate(architecture: Architecture, work: Workload, rates: Rates, sequences: int) -> float:
    weights = architecture.parameters * work.engine_bytes
    context = work.prompt_tokens + work.mean_completion_tokens / 2
    cache = architecture.cache_elements_per_token * work.engine_bytes * context
    reading = (weights + sequences * cache) / (rates.bandwidth * rates.bandwidth_utilisation)
    # Below some batch size memory is the limit, above it the matrix products are.
    computing = sequences * 2.0 * architecture.parameters / (rates.matmul_flops * rates.utilisation)
    return sequences / max(reading, computing)
