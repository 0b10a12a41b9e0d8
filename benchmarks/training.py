"""The update side by side with TRL's GRPOTrainer: time of a step, memory of head and loss, total peak, long sequences.

    python -m benchmarks.training --model DIR [--peer-python PYTHON] [--threads 2] [--completions 16] [--max-length 128]

DIR is a model directory with safetensors and tokenizer; `--model random` makes a small random Qwen3 with SmolLM2's
vocabulary and writes it to a temporary directory. Without --peer-python, TRL 1.16.0 is installed into
.poly-epo/benchmarks/trl (git-ignored) with the torch and transformers of this environment.

Both sides get the same model in float32, token ids, advantages, group size, number of micro-batches (TRL: equally many
completions in each; here: tokens shared out equally), activation checkpointing, clipping and AdamW, on the CPU. Every
measurement runs in a child process of its own; the sides take turns. A step is everything from the first forward pass
to the new weights; sampling is in neither. See benchmarks/training_trl.py for how TRL is driven. CPU seconds are
printed beside wall time: on a shared machine they are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".poly-epo" / "benchmarks" / "trl"
GIB = 2**30
Job = dict[str, Any]


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415

        venv.create(PEER, with_pip=True)
        own = [f"torch=={torch.__version__.split('+')[0]}", f"transformers=={transformers.__version__}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "trl==1.16.0", *own], check=True)
    return python


def random_model(directory: Path) -> str:
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM  # noqa: PLC0415

    config = Qwen3Config(
        vocab_size=49152,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "x": 2}, unk_token="x"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>").save_pretrained(directory)
    return str(directory)


def lengths(count: int, longest: int, rng: np.random.Generator) -> list[int]:
    """A realistic mix: three quarters short (a tenth to a third of the maximum), a quarter at the maximum."""
    short = rng.integers(longest // 10, longest // 3, count)
    return [longest if place % 4 == 3 else int(short[place]) for place in range(count)]


def job(model: str, *, completions: list[int], prompt: int, group: int, micro: int, repeats: int, **more: Any) -> Job:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(10, 2000, prompt).tolist() for _ in range(-(-len(completions) // group))]
    return {
        "model": model,
        "prompt_ids": [prompts[row // group] for row in range(len(completions))],
        "completion_ids": [rng.integers(10, 2000, length).tolist() for length in completions],
        "advantages": rng.normal(size=len(completions)).tolist(),
        "group_size": group,
        "micro_batch": micro,
        "max_length": max(completions),
        "repeats": repeats,
        "checkpointing": False,
        **more,
    }


def own_trainer(work: Job) -> tuple[Any, Any]:
    from components.training.batch import ScoredBatch  # noqa: PLC0415
    from components.training.params import TrainingParams  # noqa: PLC0415
    from components.training.trainer import Trainer  # noqa: PLC0415

    count = len(work["prompt_ids"])
    tokens = sum(map(len, work["completion_ids"]))
    tokens += sum(len(prompt) for prompt in {tuple(ids) for ids in work["prompt_ids"]})
    budget = -(-tokens * work["micro_batch"] // count) + max(map(len, work["completion_ids"])) // 2
    params = TrainingParams(learning_rate=1e-6, micro_batch_tokens=budget, gradient_checkpointing=work["checkpointing"])
    trainer = Trainer(params, max_new_tokens=work["max_length"], device="cpu")
    trainer.load(Path(work["model"]), None)
    logprobs = [np.full(len(ids), -1.0, np.float32) for ids in work["completion_ids"]]
    batch = ScoredBatch(
        [str(row // work["group_size"]) for row in range(count)],
        work["prompt_ids"],
        work["completion_ids"],
        logprobs,
        np.array(work["advantages"]),
        [row % work["group_size"] for row in range(count)],
        np.zeros(count, dtype=bool),
    )
    return trainer, batch


def own_step(work: Job) -> Job:
    trainer, batch = own_trainer(work)
    forget_peak()
    steps = []
    for _ in range(work["repeats"] + 1):
        start = time.perf_counter(), time.process_time()
        trainer.update(batch, minibatches=1)
        steps.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    steps = steps[1:] or steps
    return {"wall": [wall for wall, _ in steps], "cpu": [cpu for _, cpu in steps], "peak": peak_bytes()}


def own_head(work: Job) -> Job:
    """Loss and backward with the decoder's layers replaced by given hidden states, as on TRL's side."""
    import torch  # noqa: PLC0415
    from transformers.modeling_outputs import BaseModelOutputWithPast  # noqa: PLC0415

    from components.training.step import loss_inputs, loss_of  # noqa: PLC0415

    trainer, batch = own_trainer(work)
    model, inputs = trainer._model, trainer._inputs(batch)
    hidden = torch.randn(1, inputs.ids_1T.shape[1], model.config.hidden_size, requires_grad=True)
    model.model.forward = lambda *_, **__: BaseModelOutputWithPast(last_hidden_state=hidden)
    model.get_output_embeddings().weight.grad = torch.zeros_like(model.get_output_embeddings().weight)
    forget_peak()
    before, start = peak_bytes(), time.process_time()
    statistics_V = trainer._statistics(trainer._forward, inputs)
    given = {"old_V": None, "reference_V": None, "params": trainer._params, "max_length": work["max_length"]}
    loss_of(loss_inputs(batch, batch, statistics_V, **given), trainer._params).loss.backward()
    return {"head": peak_bytes() - before, "cpu": time.process_time() - start}


def measure(side: str, work: Job, options: argparse.Namespace) -> Job:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "job.json"
        file.write_text(json.dumps(work))
        own = [sys.executable, "-m", "benchmarks.training", "--job"]
        command = own if side == "here" else [str(options.peer_python), str(HERE / "training_trl.py")]
        done = subprocess.run(
            [*command, str(file), str(options.threads)], capture_output=True, text=True, check=False, cwd=HERE.parent
        )
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not results:
        raise SystemExit(f"{side}: {work['what']} failed with {done.returncode}\n{done.stderr[-3000:]}")
    return dict(json.loads(results[-1].removeprefix("RESULT ")))


def both(work: Job, options: argparse.Namespace) -> dict[str, Job]:
    return {side: measure(side, work, options) for side in ("TRL", "here")}


def row(name: str, peer: float, own: float, unit: str, *, times: bool = True) -> str:
    ratio = f"{peer / own:.2f}x" if times else f"{own / peer:.2f} of TRL's"
    return f"| {name} | {peer:.2f} {unit} | {own:.2f} {unit} | {ratio} |"


def report(options: argparse.Namespace, model: str) -> None:
    rng = np.random.default_rng(1)
    mix = lengths(options.completions, options.max_length, rng)
    shared = {"prompt": options.prompt, "group": options.group, "micro": options.micro_batch}
    print(
        f"{options.completions} completions of {min(mix)}-{max(mix)} tokens (mean {statistics.mean(mix):.0f}), ", end=""
    )
    print(f"groups of {options.group}, prompts of {options.prompt}, micro-batches of {options.micro_batch}; ", end="")
    print(f"fp32, {options.threads} threads, medians of {options.repeats}\n")
    print("| | TRL 1.16.0 | here | ratio |\n|---|---:|---:|---:|", flush=True)
    for checkpointing in (False, True) if "step" in options.parts else ():
        steps = job(model, completions=mix, repeats=options.repeats, what="step", checkpointing=checkpointing, **shared)
        found = both(steps, options)
        name = "checkpointing on" if checkpointing else "checkpointing off"
        for clock in ("wall", "cpu"):
            peer, own = (statistics.median(found[side][clock]) for side in ("TRL", "here"))
            print(row(f"update step, {name}, {clock}", peer, own, "s"))
        print(
            row(f"peak of the process, {name}", *(found[s]["peak"] / GIB for s in ("TRL", "here")), "GiB", times=False)
        )
        sys.stdout.flush()
    if "head" in options.parts:
        head_row(model, mix, shared, options)
    for length in options.fit if "fit" in options.parts else ():
        alone = shared | {"micro": 2, "group": 2}
        long = job(model, completions=[length, 2], repeats=0, what="step", checkpointing=True, **alone)
        found = both(long, options)
        name = f"peak with a completion of {length} tokens, checkpointing on"
        print(row(name, *(found[s]["peak"] / GIB for s in ("TRL", "here")), "GiB", times=False), flush=True)


def head_row(model: str, mix: list[int], shared: Job, options: argparse.Namespace) -> None:
    micro = job(model, completions=mix[: options.micro_batch], repeats=1, what="head", **shared | {"group": 2})
    found = both(micro, options)
    print(row("memory of head and loss, one micro-batch", *(found[s]["head"] / 2**20 for s in ("TRL", "here")), "MiB"))


def main() -> None:
    if sys.argv[1:2] == ["--job"]:
        import torch  # noqa: PLC0415

        torch.set_num_threads(int(sys.argv[3]))
        work = json.loads(Path(sys.argv[2]).read_text())
        print("RESULT " + json.dumps({"step": own_step, "head": own_head}[work["what"]](work)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help="model directory, or: random")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with TRL 1.16.0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--completions", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--max-length", type=int, default=128, help="longest completion, tokens")
    parser.add_argument("--micro-batch", type=int, default=4, help="completions of TRL's micro-batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=["step", "head", "fit"], default=["step", "head", "fit"])
    parser.add_argument("--fit", type=int, nargs="*", default=[1024, 2048], help="lengths whose peak is measured")
    options = parser.parse_args()
    options.peer_python = options.peer_python or peer_python()
    with tempfile.TemporaryDirectory() as directory:
        report(options, random_model(Path(directory)) if options.model == "random" else options.model)


if __name__ == "__main__":
    main()
