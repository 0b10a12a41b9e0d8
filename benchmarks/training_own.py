"""This project's side of benchmarks/training.py: one job in a process of its own.

    python -m benchmarks.training_own JOB.json THREADS

prints a line `RESULT {...}`. Jobs: `step` (updates on given completions), `head` (head and loss on given hidden
states), `end` (sample, score, update, and hand the new weights to the sampler).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPast

from components.records import Problem
from components.rollout.transformers_engine import TransformersEngine
from components.scoring.params import ScoringParams
from components.scoring.scorer import Scorer
from components.training.batch import ScoredBatch, batch_from_table
from components.training.params import TrainingParams
from components.training.step import loss_inputs, loss_of
from components.training.trainer import Trainer

Job = dict[str, Any]


def peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def now(device: str) -> tuple[float, float]:
    """Wall and CPU seconds once all that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def trainer_of(work: Job, micro_batch_tokens: int) -> Trainer:
    params = TrainingParams(
        learning_rate=1e-6,
        micro_batch_tokens=micro_batch_tokens,
        gradient_checkpointing=work["checkpointing"],
        dtype=work["dtype"],
    )
    trainer = Trainer(params, max_new_tokens=work["max_length"], device=work["device"])
    trainer.load(Path(work["model"]), None)
    return trainer


def given(work: Job) -> tuple[Trainer, ScoredBatch]:
    """The trainer, with a token budget that gives as many micro-batches as TRL has, and the job's completions."""
    count = len(work["prompt_ids"])
    tokens = sum(map(len, work["completion_ids"]))
    tokens += sum(len(prompt) for prompt in {tuple(ids) for ids in work["prompt_ids"]})
    budget = -(-tokens * work["micro_batch"] // count) + max(map(len, work["completion_ids"])) // 2
    batch = ScoredBatch(
        [str(row // work["group_size"]) for row in range(count)],
        work["prompt_ids"],
        work["completion_ids"],
        [np.full(len(ids), -1.0, np.float32) for ids in work["completion_ids"]],
        np.array(work["advantages"]),
        [row % work["group_size"] for row in range(count)],
        np.zeros(count, dtype=bool),
    )
    return trainer_of(work, budget), batch


def step(work: Job) -> Job:
    trainer, batch = given(work)
    forget_peak(work["device"])
    steps = []
    for _ in range(work["repeats"] + 1):
        start = now(work["device"])
        trainer.update(batch, minibatches=1)
        end = now(work["device"])
        steps.append((end[0] - start[0], end[1] - start[1]))
    # The first step warms up; where the job allows no other, it is the one that counts.
    steps = steps[1:] or steps
    held = 16 * sum(parameter.numel() for parameter in trainer._model.parameters())
    return {
        "wall": [wall for wall, _ in steps],
        "cpu": [cpu for _, cpu in steps],
        "peak": peak_bytes(work["device"]),
        "held": held,
    }


def head(work: Job) -> Job:
    """Loss and backward with the decoder's layers replaced by given hidden states, as on TRL's side."""
    trainer, batch = given(work)
    model, inputs = trainer._model, trainer._inputs(batch)
    size, device = model.config.hidden_size, work["device"]
    hidden = torch.randn(1, inputs.ids_1T.shape[1], size, device=device, requires_grad=True)
    model.model.forward = lambda *_, **__: BaseModelOutputWithPast(last_hidden_state=hidden)
    # The gradient of the weights exists before: both sides accumulate into it.
    model.get_output_embeddings().weight.grad = torch.zeros_like(model.get_output_embeddings().weight)
    forget_peak(device)
    before = peak_bytes(device)
    statistics = trainer._statistics(trainer._forward, inputs)
    others = {"old_V": None, "reference_V": None, "params": trainer._params, "max_length": work["max_length"]}
    loss_of(loss_inputs(batch, batch, statistics, **others), trainer._params).loss.backward()
    return {"head": peak_bytes(device) - before}


def end(work: Job) -> Job:
    count, group = len(work["prompts"]), work["group_size"]
    problems = [Problem(str(row), text, "", "", "train", "{}") for row, text in enumerate(work["prompts"][::group])]
    trainer = trainer_of(work, work["micro_batch"] * work["max_length"] + len(work["prompt_ids"][0]))
    engine = TransformersEngine(max_new_tokens=work["max_length"], batch_size=count, device=work["device"])
    engine.load_policy(Path(work["model"]), 0)
    scoring = ScoringParams(verifier="benchmarks.training_reward:remainder")
    steps = []
    with Scorer(scoring, {"name": "grpo"}) as scorer, tempfile.TemporaryDirectory() as directory:
        for number in range(work["repeats"] + 1):
            start = now(work["device"])
            rollouts = engine.sample(problems, group_size=group, seed=number)
            sampled = time.perf_counter()
            batch = batch_from_table(scorer.score(rollouts, problems).table, where="benchmark")
            scored = time.perf_counter()
            trainer.update(batch, minibatches=1)
            updated = now(work["device"])[0]
            policy = Path(directory) / str(number)
            policy.mkdir()
            trainer.save_policy(policy)
            engine.load_policy(policy, number + 1)
            wall, cpu = (end - begin for begin, end in zip(start, now(work["device"]), strict=True))
            parts = {"sample": sampled - start[0], "score": scored - sampled, "update": updated - scored}
            steps.append({"wall": wall, "cpu": cpu, "tokens": batch.tokens, **parts})
    return {"steps": steps[1:]}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    work = json.loads(Path(sys.argv[1]).read_text())
    print("RESULT " + json.dumps({"step": step, "head": head, "end": end}[work["what"]](work)))
