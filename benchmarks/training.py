"""Side by side with TRL's GRPOTrainer: time of update and whole step, memory of head and loss, peak, long sequences.

    python -m benchmarks.training --model DIR [--peer-python PYTHON] [--threads 2] [--completions 8] [--max-length 256]
        [--device cuda --dtype bfloat16]

DIR is a model directory with safetensors and tokenizer; `--model random` makes a small random Qwen3 with SmolLM2's
vocabulary and writes it to a temporary directory. Without --peer-python, TRL 1.16.0 is installed into
.poly-epo/benchmarks/trl (git-ignored) with the torch and transformers of this environment.

Both sides get the same model in float32, token ids, advantages, group size, number of micro-batches (TRL: equally many
completions in each; here: tokens shared out equally), activation checkpointing, clipping and AdamW, on the CPU or one
GPU; `--dtype bfloat16` is autocast on both sides. Peaks are the process's on a CPU, the allocator's on a GPU. Every
measurement runs in a child process of its own; the sides take turns. An update step is everything from the first
forward pass to the new weights; sampling is in neither. `end` samples, scores and updates, each side with its own
sampler (transformers' generate; components/rollout) and the same reward; here handing the weights to the sampler
through files is part of it. Completions differ, so that row is per sampled token; it needs a model with a vocabulary of
words, which the random one is not. See benchmarks/training_trl.py for how TRL is driven. On a CPU its seconds are
printed beside wall time: on a shared machine they are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".poly-epo" / "benchmarks" / "trl"
GIB = 2**30
Job = dict[str, Any]


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


def questions(work: Job, completions: int) -> Job:
    """Prompts of a kind that a chat model answers at many lengths, each repeated for its group."""
    things = ["a fruit", "the sea", "two colours", "how bread is made", "a number", "the moon", "a short poem", "Paris"]
    texts = [f"Tell me about {thing}." for thing in things]
    return work | {"prompts": [texts[row // work["group_size"] % len(texts)] for row in range(completions)]}


def measure(side: str, work: Job, options: argparse.Namespace) -> Job:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "job.json"
        own = [sys.executable, "-m", "benchmarks.training_own"]
        work = work | {"device": options.device, "dtype": options.dtype}
        file.write_text(json.dumps(work))
        command = own if side == "here" else [str(options.peer_python), str(HERE / "training_trl.py")]
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        done = subprocess.run(
            [*command, str(file), str(options.threads)],
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE.parent,
            env=environment,
        )
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not results:
        raise SystemExit(f"{side}: {work['what']} failed with {done.returncode}\n{done.stderr[-3000:]}")
    return dict(json.loads(results[-1].removeprefix("RESULT ")))


def both(work: Job, options: argparse.Namespace) -> tuple[Job, Job]:
    return measure("TRL", work, options), measure("here", work, options)


def faster(name: str, peer: float, own: float, unit: str = "s") -> None:
    print(f"| {name} | {peer:.2f} {unit} | {own:.2f} {unit} | {peer / own:.2f}x less |", flush=True)


def share(name: str, peer: float, own: float) -> None:
    print(f"| {name} | {peer / GIB:.2f} GiB | {own / GIB:.2f} GiB | {own / peer:.2f} of TRL's |", flush=True)


def print_steps(model: str, mix: list[int], shared: Job, options: argparse.Namespace) -> None:
    for switch in options.checkpointing:
        name, checkpointing = f"checkpointing {switch}", switch == "on"
        work = job(model, completions=mix, repeats=options.repeats, what="step", checkpointing=checkpointing, **shared)
        peer, own = both(work, options)
        faster(f"update step, {name}", *(statistics.median(side["wall"]) for side in (peer, own)))
        if options.device == "cpu":
            faster(f"update step, {name}, CPU", *(statistics.median(side["cpu"]) for side in (peer, own)))
        share(
            f"peak, {name}; weights, gradient, moments {own['held'] / GIB:.2f}",
            peer["peak"],
            own["peak"],
        )


def print_head(model: str, mix: list[int], shared: Job, options: argparse.Namespace) -> None:
    completions = mix[: options.micro_batch]
    peer, own = both(job(model, completions=completions, repeats=1, what="head", **shared | {"group": 2}), options)
    faster("memory of head and loss, one micro-batch", peer["head"] / 2**20, own["head"] / 2**20, "MiB")


def print_fit(model: str, shared: Job, options: argparse.Namespace) -> None:
    """Peaks of a second step (moments exist) at growing lengths; where a line through the last two meets the limit."""
    alone = shared | {"micro": 2, "group": 2}
    peaks: dict[str, list[float]] = {"TRL": [], "here": []}
    for length in options.fit:
        work = job(model, completions=[length, 2], repeats=1, what="step", checkpointing=True, **alone)
        peer, own = both(work, options)
        share(f"peak with a completion of {length} tokens, checkpointing on", peer["peak"], own["peak"])
        peaks["TRL"].append(peer["peak"])
        peaks["here"].append(own["peak"])
    if len(options.fit) > 1:
        longest = [fitting(options.fit, side, options.memory_gib * GIB) for side in peaks.values()]
        name = f"longest completion in {options.memory_gib} GiB, by the slope of the last two"
        print(f"| {name} | {longest[0]:.0f} tokens | {longest[1]:.0f} tokens | {longest[1] / longest[0]:.1f}x TRL's |")


def fitting(measured: list[int], peaks: list[float], limit: float) -> float:
    slope = (peaks[-1] - peaks[-2]) / (measured[-1] - measured[-2])
    return measured[-1] + (limit - peaks[-1]) / slope


def print_end(model: str, shared: Job, options: argparse.Namespace) -> None:
    work = job(model, completions=[options.end_length] * options.completions, repeats=options.repeats, **shared)
    peer, own = both(questions(work, options.completions) | {"what": "end"}, options)
    medians = [
        statistics.median(1000 * step["wall"] / step["tokens"] for step in side["steps"]) for side in (peer, own)
    ]
    name = f"sample, score, update: per 1,000 sampled tokens, at most {options.end_length} a completion"
    faster(name, *medians)
    for side, steps in (("TRL", peer["steps"]), ("here", own["steps"])):
        for step in steps:
            parts = ", ".join(f"{name} {value:.2f}" for name, value in step.items())
            print(f"  {side}: {parts}", file=sys.stderr, flush=True)


def report(options: argparse.Namespace, model: str) -> None:
    mix = lengths(options.completions, options.max_length, np.random.default_rng(1))
    shared = {"prompt": options.prompt, "group": options.group, "micro": options.micro_batch}
    print(
        f"{options.completions} completions of {min(mix)}-{max(mix)} tokens (mean {statistics.mean(mix):.0f}), ", end=""
    )
    print(f"groups of {options.group}, prompts of {options.prompt}, micro-batches of {options.micro_batch}; ", end="")
    print(f"{options.device}, {options.dtype}, {options.threads} threads, medians of {options.repeats}\n")
    print("| | TRL 1.16.0 | here | ratio |\n|---|---:|---:|---:|", flush=True)
    if "head" in options.parts:
        print_head(model, mix, shared, options)
    if "end" in options.parts and options.model != "random":
        print_end(model, shared, options)
    if "step" in options.parts:
        print_steps(model, mix, shared, options)
    if "fit" in options.parts:
        print_fit(model, shared, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help="model directory, or: random")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with TRL 1.16.0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--completions", type=int, default=8)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--max-length", type=int, default=256, help="longest completion, tokens")
    parser.add_argument("--end-length", type=int, default=64, help="longest completion where they are sampled")
    parser.add_argument("--micro-batch", type=int, default=4, help="completions of TRL's micro-batch")
    parser.add_argument("--repeats", type=int, default=3)
    parts = ["head", "step", "end", "fit"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--checkpointing", nargs="+", choices=["off", "on"], default=["off", "on"], help="of `step`")
    parser.add_argument("--fit", type=int, nargs="*", default=[1024, 2048, 4096], help="lengths whose peak is measured")
    parser.add_argument("--memory-gib", type=int, default=16, help="for the longest completion that fits")
    options = parser.parse_args()
    options.peer_python = options.peer_python or peer_python()
    with tempfile.TemporaryDirectory() as directory:
        report(options, random_model(Path(directory)) if options.model == "random" else options.model)


if __name__ == "__main__":
    main()
