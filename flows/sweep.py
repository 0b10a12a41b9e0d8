"""The same experiment over seeds, arms and learning rates: the evidence behind docs/results.md.

Each seed makes a base policy of its own; each (seed, arm, learning rate) trains from it with the budget of params.yaml
and is evaluated on the test split. Every trial runs the components' own commands in a directory of its own and is
resumed, not repeated, when the sweep is started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from components.errors import PolyEpoError
from components.evaluation.results import Evaluation, History, read_evaluation, read_history
from components.params import merge_overlay, parse_params
from flows.runners.process import ends_children, stream

__all__ = ["Trial", "TrialResult", "run_sweep"]


@dataclass(frozen=True)
class Trial:
    """One training run of the sweep."""

    arm: str
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the trial's directory."""
        return f"{self.arm}-{self.learning_rate:g}"


@dataclass(frozen=True)
class TrialResult:
    """A trial with its evaluation on the test split and its training history; a base policy has no trial."""

    trial: Trial | None
    seed: int
    evaluation: Evaluation
    history: History | None


def run_sweep(
    params: dict[str, Any],
    *,
    arms: Sequence[str],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    out: Path,
    jobs: int,
    note: Callable[[str], None],
) -> list[TrialResult]:
    """Run what is missing of the sweep, ``jobs`` trials at a time, and read all results.

    Args:
        params: the document params.yaml; each trial changes seeds, learning rate and arms in it, nothing else.
        arms: keys of section ``arms``.
        learning_rates: the grid, the same for every arm.
        seeds: each replaces policy.seed, improve.seed and evaluation.seed.
        out: directory of the sweep.
        jobs: trials that run side by side.
        note: called with a line of progress.

    Raises:
        PolyEpoError: bad params, or a trial failed; the line is the trial's own.
    """
    trials = [Trial(*choice) for choice in product(arms, learning_rates, seeds)]
    for trial in trials:
        parse_params(_params_of(params, trial), where="sweep")
    with ends_children():
        _data(params, out, note)
        _each([partial(_base, params, seed, out, note) for seed in seeds], jobs)
        _each([partial(_train, params, trial, out, note) for trial in trials], jobs)
    bases = [
        TrialResult(
            None, seed, read_evaluation(f"base, seed {seed}", _seed_directory(out, seed) / "base-evaluation"), None
        )
        for seed in seeds
    ]
    return [*bases, *(_result(trial, out) for trial in trials)]


def _each(work: Iterable[Callable[[], None]], jobs: int) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(item) for item in work]:
            future.result()


def _data(params: dict[str, Any], out: Path, note: Callable[[str], None]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _command(["components.data", "--out", "data"], params, out, note, "data")


def _base(params: dict[str, Any], seed: int, out: Path, note: Callable[[str], None]) -> None:
    directory = _seed_directory(out, seed)
    seeded = _seeded(params, seed)
    _command(["components.policy", "--data", "../data", "--out", "base"], seeded, directory, note, f"base, seed {seed}")
    _evaluate(seeded, "base", "base-evaluation", directory, note, f"base, seed {seed}")


def _train(params: dict[str, Any], trial: Trial, out: Path, note: Callable[[str], None]) -> None:
    directory = _seed_directory(out, trial.seed) / trial.name
    own = _params_of(params, trial)
    label = f"{trial.arm}, learning rate {trial.learning_rate:g}, seed {trial.seed}"
    arguments = ["--arm", trial.arm, "--base", "../base", "--problems", "../../data", "--out", "improve"]
    _command(["components.improve", *arguments], own, directory, note, label)
    _evaluate(own, "improve/final", "evaluation", directory, note, label)


def _evaluate(
    params: dict[str, Any], policy: str, out: str, directory: Path, note: Callable[[str], None], label: str
) -> None:
    depth = "../data" if out == "base-evaluation" else "../../data"
    arguments = ["--policy", policy, "--problems", f"{depth}/test.parquet", "--out", out]
    _command(["components.evaluation", *arguments], params, directory, note, f"evaluate {label}")


def _command(
    module: Sequence[str], params: dict[str, Any], directory: Path, note: Callable[[str], None], label: str
) -> None:
    """Run a component's command in ``directory``; the component itself skips what stands already."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    lines: list[str] = []
    note(label)
    code = stream(
        [sys.executable, "-m", *module],
        cwd=directory,
        env=os.environ,
        on_line=lines.append,
        log=directory / "log.txt",
    )
    if code:
        last = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
        raise PolyEpoError(last, where=f"sweep, {label}", remedy=f"see {directory / 'log.txt'}; the sweep resumes")


def _result(trial: Trial, out: Path) -> TrialResult:
    directory = _seed_directory(out, trial.seed) / trial.name
    evaluation = read_evaluation(f"{trial.name}, seed {trial.seed}", directory / "evaluation")
    return TrialResult(trial, trial.seed, evaluation, read_history(trial.arm, directory / "improve" / "history.json"))


def _seed_directory(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _seeded(params: dict[str, Any], seed: int) -> dict[str, Any]:
    return merge_overlay(params, {"policy": {"seed": seed}, "improve": {"seed": seed}, "evaluation": {"seed": seed}})


def _params_of(params: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """The document for one trial: its seeds, its arm alone, its learning rate."""
    changed = {
        "improve": {"arms": [trial.arm]},
        "arms": {trial.arm: {"learning_rate": trial.learning_rate}},
    }
    return merge_overlay(_seeded(params, trial.seed), changed)
