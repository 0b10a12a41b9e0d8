"""The plan of a run as rows of text: what is computed, from which numbers, and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.architecture import Architecture
from components.planning.cost import Cost, Rates, iteration_cost
from components.planning.memory import EngineMemory, TrainerMemory, engine_memory, trainer_memory
from components.planning.workload import Workload

__all__ = ["Plan", "Row", "make_plan"]

_RESERVE = 0.1  # of a device's memory: the allocator's fragments, kernels' workspaces, the runtime


@dataclass(frozen=True)
class Row:
    """One quantity: what it is, its value with its unit, and what it rests on ("" where the name says it)."""

    section: str
    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """The numbers, and the rows that show them."""

    architecture: Architecture
    work: Workload
    rates: Rates
    trainer: TrainerMemory
    engine: EngineMemory
    cost: Cost
    assumptions: list[str]
    iterations: int
    kept_checkpoints: int

    @property
    def device_total(self) -> int:
        """Bytes on a GPU that trains and samples, the rollout engine staying loaded during the update."""
        return self.trainer.total + self.engine.total

    @property
    def fits(self) -> bool:
        """Whether a device has room for all of it and a reserve."""
        return self.device_total <= (1.0 - _RESERVE) * self.rates.memory

    @property
    def checkpoint_bytes(self) -> tuple[int, int]:
        """One policy (float32 weights) and its trainer's state (two float32 moments), on disk."""
        weights = 4 * self.architecture.parameters
        return weights, 2 * weights

    def rows(self) -> list[Row]:
        """Everything that ``poly-epo plan`` prints."""
        return [*self._model(), *self._trainer(), *self._engine(), *self._device(), *self._time(), *self._disk()]

    def _model(self) -> list[Row]:
        a, work = self.architecture, self.work
        shape = f"{a.family}, {a.layers} layers of {a.hidden}, vocabulary {a.vocabulary:,}"
        sizes = f"{work.prompts} prompts x {work.group_size} completions, {work.minibatches} optimizer steps"
        return [
            Row("model", "parameters", f"{a.parameters:,}", shape),
            Row("iteration", "completions", f"{work.completions:,}", sizes),
            Row("iteration", "completion tokens", f"{work.completion_tokens_total:,.0f}", "at the assumed mean length"),
            Row("iteration", "tokens through the trainer", f"{work.trained_tokens:,.0f}", "prompts included"),
        ]

    def _trainer(self) -> list[Row]:
        t, work = self.trainer, self.work
        shared = f"float32, one {work.processes}th" if work.processes > 1 else "float32"
        gathered = "gathered layers" if work.processes > 1 else "bfloat16 copies" if work.mixed else "none in float32"
        state, other = ("with", "without") if work.checkpointing else ("without", "with")
        return [
            Row("trainer", "master weights", _size(t.master_weights), shared),
            Row("trainer", "gradients", _size(t.gradients), shared),
            Row("trainer", "AdamW's moments", _size(t.moments), shared),
            Row("trainer", "working weights", _size(t.working_weights), gathered),
            Row(
                "trainer",
                f"activations, {state} checkpointing",
                _size(t.activations),
                f"{work.micro_batch_tokens:,} tokens a micro-batch; {other}: {_size(t.activations_otherwise)}",
            ),
            Row("trainer", "logits and head", _size(t.head), f"{work.head_tokens:,} positions at a time"),
            Row("trainer", "trainer in all", _size(t.total)),
        ]

    def _engine(self) -> list[Row]:
        e, work = self.engine, self.work
        held = f"{e.sequences:,} sequences of {work.prompt_tokens + work.completion_tokens:,} tokens"
        if e.sequences < work.concurrent_sequences:
            held += f" of {work.concurrent_sequences:,}; others wait"
        return [
            Row("rollout engine", "weights", _size(e.weights), f"{work.engine_bytes} bytes a parameter"),
            Row("rollout engine", "key-value cache", _size(e.cache), f"{held}; {e.cache_per_token:,} bytes a token"),
            Row("rollout engine", "engine in all", _size(e.total)),
        ]

    def _device(self) -> list[Row]:
        verdict = "fits" if self.fits else "does NOT fit"
        have = f"{_size(self.rates.memory)} less {_RESERVE:.0%}: {verdict}"
        return [Row("device", "trainer and engine together", _size(self.device_total), have)]

    def _time(self) -> list[Row]:
        c, work = self.cost, self.work
        rate = f"{c.tokens_per_second:,.0f} tokens/s on each of {work.gpus}"
        reached = self.rates.matmul_flops * self.rates.utilisation / 1e12
        speed = f"{reached:,.3g} TFLOP/s on each of {work.processes}"
        hours = c.seconds * self.iterations / 3600
        return [
            Row("time", "sampling", f"{c.sampling_seconds:,.1f} s", rate),
            Row("time", "update", f"{c.update_seconds:,.1f} s", f"{c.update_flops:.3g} FLOP at {speed}"),
            Row("time", "iteration", f"{c.seconds:,.1f} s", "scoring comes on top"),
            Row("time", "run", f"{hours:,.1f} h", f"{self.iterations} iterations, evaluations not counted"),
        ]

    def _disk(self) -> list[Row]:
        weights, state = self.checkpoint_bytes
        kept = self.kept_checkpoints * (weights + state)
        parts = f"weights {_size(weights)}, optimizer {_size(state)}"
        return [
            Row("disk", "checkpoint", _size(weights + state), f"{parts}; {self.kept_checkpoints} kept: {_size(kept)}")
        ]


def make_plan(
    architecture: Architecture,
    work: Workload,
    rates: Rates,
    *,
    assumptions: list[str],
    iterations: int,
    kept_checkpoints: int,
    tokens_per_second: float | None = None,
) -> Plan:
    """Compute the plan; ``assumptions`` are lines that a reader must know, ``tokens_per_second`` as iteration_cost."""
    engine = engine_memory(architecture, work, device_memory=rates.memory)
    # Sequences of mean length fit in larger numbers than those of full length.
    longest, mean = work.completion_tokens, work.mean_completion_tokens
    full, usual = work.prompt_tokens + longest, work.prompt_tokens + mean
    sequences = max(min(int(engine.sequences * full / usual), work.concurrent_sequences), 1)
    return Plan(
        architecture,
        work,
        rates,
        trainer_memory(architecture, work),
        engine,
        iteration_cost(architecture, work, rates, sequences=sequences, tokens_per_second=tokens_per_second),
        assumptions,
        iterations,
        kept_checkpoints,
    )


def _size(count: int) -> str:
    """Bytes in the largest binary unit that leaves a number of 1 or more."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} B"
