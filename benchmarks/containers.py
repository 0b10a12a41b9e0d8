"""What containers cost: the same commands through the runners `local` and `docker`, in turn.

    python -m benchmarks.containers [--repeats 5] [--iterations 20]

Run it in a project's root with its images built (`make images`), on a machine that does nothing else. It works in
.poly-epo/benchmark and prints: seconds of a whole task (a small stage, imports and all) with either runner, and seconds
of one iteration of a training loop inside its one long-lived container against the same loop as a local process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median

import yaml

from components.params import merge_overlay
from flows.runners.base import Runner, get_runner

WORK = Path(".poly-epo/benchmark")
SMALL = {
    "policy": {"warm_start": {"steps": 20, "warmup_steps": 2}},
    "improve": {"prompts_per_iteration": 32, "group_size": 16, "evaluate_every": 1000, "evaluation_samples": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20)
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    runners = [get_runner("local"), get_runner("docker")]
    for iterations in (1, 1 + options.iterations):
        write_params(iterations)
    run(runners[0], "data", f"python -m components.data --params {WORK}/1.yaml --out {WORK}/data")
    run(runners[0], "base", f"python -m components.policy --params {WORK}/1.yaml --data {WORK}/data --out {WORK}/base")
    print("| command | local | docker | difference |\n|---|---:|---:|---:|")
    tasks = {
        "nothing (`true`)": ("data", "true"),
        "stage data": ("data", "python -m components.data --params {work}/1.yaml --out {work}/data-{n}"),
        "importing PyTorch and Transformers": (
            "base",
            "python -c 'import torch, transformers.models.qwen3.modeling_qwen3'",
        ),
    }
    for name, (stage, command) in tasks.items():
        row(name, *compare(runners, stage, command, options.repeats))
    loop = (
        "python -m components.improve --params {work}/ITERATIONS.yaml --arm poly_epo --base {work}/base "
        "--problems {work}/data --out {work}/arm-{n}"
    )
    short = compare(runners, "improve", loop.replace("ITERATIONS", "1"), options.repeats)
    long = compare(runners, "improve", loop.replace("ITERATIONS", str(1 + options.iterations)), options.repeats)
    row("a loop's start and one iteration", *short)
    local, docker = ((b - a) / options.iterations for a, b in zip(short, long, strict=True))
    more = f"{docker - local:+.3f} s ({docker / local - 1:+.1%})"
    print(f"| every further iteration | {local:.3f} s | {docker:.3f} s | {more} |")


def write_params(iterations: int) -> None:
    document = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    overlay = merge_overlay(SMALL, {"improve": {"iterations": iterations}})
    (WORK / f"{iterations}.yaml").write_text(yaml.safe_dump(merge_overlay(document, overlay)), encoding="utf-8")


def compare(runners: list[Runner], stage: str, command: str, repeats: int) -> tuple[float, float]:
    """Median seconds of ``command`` with either runner, taken in turn so that both see the same machine."""
    seconds: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for _ in range(repeats):
        for runner in runners:
            seconds[runner.name].append(run(runner, stage, command.format(work=WORK, n=time.monotonic_ns())))
    return median(seconds["local"]), median(seconds["docker"])


def run(runner: Runner, stage: str, command: str) -> float:
    env = {**os.environ, "DVC_STAGE": stage, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    lines: list[str] = []
    began = time.monotonic()
    argv = ["/bin/sh", "-c", command]
    code = runner.run(argv, cwd=Path.cwd(), env=env, on_line=lines.append, log=WORK / "log")
    if code:
        sys.exit("\n".join([f"{runner.name}: {command} exited {code}", *lines[-10:]]))
    return time.monotonic() - began


def row(name: str, local: float, docker: float) -> None:
    print(f"| {name} | {local:.2f} s | {docker:.2f} s | {docker - local:+.2f} s |", flush=True)


if __name__ == "__main__":
    main()
