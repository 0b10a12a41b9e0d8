"""The peer of benchmarks/training.py: TRL's GRPOTrainer on given completions, in an environment of its own.

    PEER_PYTHON benchmarks/training_trl.py JOB.json

Imports nothing of this project. What is TRL's: the model's patched forward pass, loss, shuffling and splitting into
micro-batches, backward pass, gradient clipping and AdamW, all called by its own `train()`. What is replaced: sampling
and scoring (`_generate_and_score_completions`), which hand out the job's token ids and advantages, padded to the
longest of the batch as TRL itself pads them. A step is timed from the first micro-batch to after the optimizer
(callbacks on_step_begin and on_step_end), so sampling is in neither side's time. In the job `end` nothing is replaced:
TRL samples with transformers' generate, scores with a reward function and updates.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


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


def remainder(completions: list, **_: object) -> list[float]:
    """As in benchmarks/training_reward.py."""
    texts = [one if isinstance(one, str) else one[0]["content"] for one in completions]
    return [len(text) % 97 / 97 for text in texts]


class Timer(TrainerCallback):
    """Wall and CPU seconds of every optimizer step."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.steps: list[tuple[float, float]] = []

    def on_step_begin(self, *_: object, **__: object) -> None:  # noqa: D102
        self._start = now(self._device)

    def on_step_end(self, *_: object, **__: object) -> None:  # noqa: D102
        end = now(self._device)
        self.steps.append((end[0] - self._start[0], end[1] - self._start[1]))


class Given(GRPOTrainer):
    """GRPOTrainer whose completions come from the job."""

    job: dict

    def _generate_and_score_completions(self, inputs: list) -> dict:
        prompts, completions = self.job["prompt_ids"], self.job["completion_ids"]
        widest, longest = max(map(len, prompts)), max(map(len, completions))
        pad = self.processing_class.pad_token_id
        batch = {
            "prompt_ids": torch.tensor([[pad] * (widest - len(ids)) + ids for ids in prompts]),
            "prompt_mask": torch.tensor([[0] * (widest - len(ids)) + [1] * len(ids) for ids in prompts]),
            "completion_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids in completions]),
            "completion_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in completions]),
            "advantages": torch.tensor(self.job["advantages"], dtype=torch.float32),
            "num_items_in_batch": torch.tensor(sum(map(len, completions))),
        }
        return {name: values.to(self.accelerator.device) for name, values in batch.items()}


class Counting(GRPOTrainer):
    """GRPOTrainer that counts the tokens and seconds of every batch that it samples and scores."""

    job: dict

    def _generate_and_score_completions(self, inputs: list) -> dict:
        start = time.perf_counter()
        outputs = super()._generate_and_score_completions(inputs)
        self.__dict__.setdefault("batches", []).append(
            {"sample and score": time.perf_counter() - start, "tokens": int(outputs["completion_mask"].sum())}
        )
        return outputs


def make(job: dict, output: str, timer: Timer, kind: type[GRPOTrainer] = Given) -> GRPOTrainer:
    prompts = job.get("prompts") or ["x"] * len(job["prompt_ids"])
    count, micro = len(prompts), job["micro_batch"]
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    if tokenizer.chat_template:
        prompts = [[{"role": "user", "content": text}] for text in prompts]
    options = GRPOConfig(
        output_dir=output,
        use_cpu=job["device"] == "cpu",
        bf16=job["dtype"] == "bfloat16",
        fp16=False,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=count // micro,
        num_generations=job["group_size"],
        max_completion_length=job["max_length"],
        gradient_checkpointing=job["checkpointing"],
        gradient_checkpointing_kwargs={"use_reentrant": False},
        loss_type="dr_grpo",
        beta=0.0,
        epsilon=0.2,
        epsilon_high=0.28,
        max_grad_norm=1.0,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        max_steps=job["repeats"] + 1,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    # A group is one prompt repeated by TRL's own sampler.
    own = prompts[:: job["group_size"]] if kind is Counting else prompts
    trainer = kind(
        model=model,
        args=options,
        reward_funcs=remainder,
        train_dataset=Dataset.from_dict({"prompt": own}),
        processing_class=tokenizer,
        callbacks=[timer],
    )
    trainer.job = job
    return trainer


def step(job: dict) -> dict:
    timer = Timer(job["device"])
    with tempfile.TemporaryDirectory() as output:
        trainer = make(job, output, timer)
        forget_peak(job["device"])
        trainer.train()
    # The first step warms up; where the job allows no other, it is the one that counts.
    steps = timer.steps[1:] or timer.steps
    return {"wall": [wall for wall, _ in steps], "cpu": [cpu for _, cpu in steps], "peak": peak_bytes(job["device"])}


def end(job: dict) -> dict:
    """Whole steps: TRL samples, scores and updates."""
    timer = Timer(job["device"])
    with tempfile.TemporaryDirectory() as output:
        trainer = make(job, output, timer, Counting)
        trainer.train()
    steps = [
        {"wall": wall, "cpu": cpu, **batch} for (wall, cpu), batch in zip(timer.steps, trainer.batches, strict=True)
    ]
    return {"steps": steps[1:]}


def head(job: dict) -> dict:
    """Loss and backward with the decoder's layers replaced by given hidden states: what head and loss need."""
    with tempfile.TemporaryDirectory() as output:
        trainer = make(job, output, Timer(job["device"]))
        inputs = trainer._generate_and_score_completions([])
        rows = inputs["prompt_ids"].shape[0]
        length = inputs["prompt_ids"].shape[1] + inputs["completion_ids"].shape[1]
        model = trainer.model
        hidden = torch.randn(
            rows, length, model.config.hidden_size, device=trainer.accelerator.device, requires_grad=True
        )
        trainer.current_gradient_accumulation_steps = 1

        def given(*_: object, **__: object) -> object:
            from transformers.modeling_outputs import BaseModelOutputWithPast  # noqa: PLC0415

            return BaseModelOutputWithPast(last_hidden_state=hidden)

        model.model.forward = given
        # The gradient of the weights exists before: both sides accumulate into it.
        model.get_output_embeddings().weight.grad = torch.zeros_like(model.get_output_embeddings().weight)
        device = job["device"]
        forget_peak(device)
        before = peak_bytes(device)
        start = time.process_time()
        trainer.compute_loss(model, inputs).backward()
        return {"head": peak_bytes(device) - before, "cpu": time.process_time() - start}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    work = json.loads(Path(sys.argv[1]).read_text())
    print("RESULT " + json.dumps({"step": step, "head": head, "end": end}[work["what"]](work)))
