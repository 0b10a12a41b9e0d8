"""A workspace in the real format, made in milliseconds: what the tracking and registry tests replay."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.manifest import publish, write_json
from components.params import Params, Section
from components.records import SCORED_ROLLOUT, write_records
from components.registry.params import GateMargins, RegistryParams
from components.tracking.params import TrackingParams

MOMENT = 1_700_000_000  # seconds since 1970: modification time of the first file


class Improve(Section):
    """Stands for the section ``improve``: tracking asks it for the arms alone."""

    arms: list[str]
    iterations: int = 4


def make_params(
    tmp: Path,
    arms: list[str] | None = None,
    *,
    uri: str = "",
    experiment: str = "unit",
    gate: GateMargins | None = None,
) -> Params:
    return Params(
        {
            "improve": Improve(arms=arms or ["grpo", "poly_epo"]),
            "tracking": TrackingParams(uri=uri or f"sqlite:///{tmp}/state/mlflow.db", experiment=experiment),
            "registry": RegistryParams(gate=gate or GateMargins(margins={1: 0.0, 8: -0.05}, min_problems=10)),
        }
    )


def make_base(workspace: Path) -> None:
    with publish(workspace / "data", fingerprint="data") as directory:
        for split in ("train", "validation", "test"):
            (directory / f"{split}.parquet").write_text(split)
    with publish(workspace / "base", fingerprint="base") as directory:
        (directory / "model.safetensors").write_bytes(b"base weights")
    with publish(workspace / "gates" / "problems", fingerprint="gate") as directory:
        write_json(directory / "result.json", {"success": True, "failures": []})


def add_iteration(workspace: Path, arm: str, number: int, *, evaluated: bool = False) -> None:
    iteration = workspace / "improve" / arm / "iterations" / f"{number:06d}"
    for name, document in {"rollouts": None, "scored": {"correct": 0.1 * number}}.items():
        with publish(iteration / name, fingerprint=f"{name}{number}") as directory:
            if name == "scored":
                write_records(directory / "scored.parquet", scored_table({"a": [1, 0]}), SCORED_ROLLOUT)
                write_json(directory / "metrics.json", document)
    with publish(iteration / "update", fingerprint=f"update{number}") as directory:
        write_json(directory / "metrics.json", {"loss": 1.0 / number, "entropy": float(number), "note": "text"})
    if evaluated:
        with publish(iteration / "evaluation", fingerprint=f"evaluation{number}") as directory:
            write_json(directory / "metrics.json", {"pass@1": 0.1 * number, "pass@8": 0.2 * number})
    for step, path in enumerate(sorted(iteration.rglob("*"))):
        os.utime(path, (MOMENT + 100 * number + step, MOMENT + 100 * number + step))


def finish_arm(workspace: Path, arm: str) -> None:
    directory = workspace / "improve" / arm
    with publish(directory / "final", fingerprint=f"final {arm}") as final:
        (final / "model.safetensors").write_bytes(f"weights of {arm}".encode())
        (final / "config.json").write_text("{}")
    write_json(directory / "history.json", {"iterations": 4})


def add_comparison(reports: Path) -> None:
    with publish(reports / "comparison", fingerprint="comparison") as directory:
        (directory / "table.md").write_text("| model | pass@1 |\n|---|---|\n| base | 0.1 |\n")
        (directory / "figures").mkdir()
        (directory / "figures" / "pass_at_k.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")


def scored_table(rewards: dict[str, list[float]], completion: str = "x=1 y=2") -> pa.Table:
    """A SCORED_ROLLOUT table: problem -> reward per sample; every correct sample is a cluster of its own."""
    rows = []
    for problem, values in rewards.items():
        for index, reward in enumerate(values):
            row = dict.fromkeys(SCORED_ROLLOUT.names)
            row |= {
                "problem_id": problem,
                "sample_index": index,
                "prompt_ids": [1],
                "completion_ids": [2, 3],
                "rollout_logprobs": [-0.5, -0.25],
                "completion": completion,
                "finish_reason": "stop",
                "policy_version": 0,
                "engine": "synthetic",
                "seed": 0,
                "parsed_answer": None,
                "reward": float(reward),
                "cluster_id": index,
                "strategy": "guess",
                "set_objective": 0.0,
                "marginal_advantage": 0.0,
            }
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCORED_ROLLOUT)


def add_timings(path: Path, lines: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def rewards_with_rate(rate: float, *, problems: int = 40, samples: int = 16, seed: int = 0) -> dict[str, list[float]]:
    generator = np.random.default_rng(seed)
    hits = generator.random((problems, samples)) < rate
    return {f"p{number:03d}": [float(hit) for hit in row] for number, row in enumerate(hits)}
