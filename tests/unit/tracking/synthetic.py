"""A workspace in the real format, made in milliseconds: what the tracking and registry tests replay."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from components.evaluation import distinct_correct, pass_at_k
from components.evaluation.evaluate import content_digest
from components.manifest import publish, write_json
from components.params import Params, parse_params
from components.records import PROBLEM, SCORED_ROLLOUT, Problem, problems_to_table, write_records
from components.registry.params import GateMargins
from components.tracking.client import connect
from components.tracking.identity import arm_origin
from components.tracking.params import TrackingParams

ROOT = Path(__file__).parents[3]
MOMENT = 1_700_000_000  # seconds since 1970: modification time of the first file


def make_params(
    tmp: Path,
    arms: list[str] | None = None,
    *,
    uri: str = "",
    experiment: str = "unit",
    gate: GateMargins | None = None,
) -> Params:
    """Real parameters: the project's defaults with a store below ``tmp``."""
    document = yaml.safe_load(Path(ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["improve"] |= {"arms": arms or ["grpo", "poly_epo"], "iterations": 4}
    document["evaluation"]["bootstrap_draws"] = 200
    document["tracking"] = {"uri": uri or f"sqlite:///{tmp}/state/mlflow.db", "experiment": experiment}
    chosen = gate or GateMargins(margins={1: 0.0, 8: -0.05}, min_problems=10, min_samples=8)
    document["registry"] |= {"model": "unit", "gate": chosen.model_dump()}
    return parse_params(document)


_TEMPLATES: list[tempfile.TemporaryDirectory[str]] = []


def new_database(directory: Path) -> str:
    """The address of a fresh sqlite store in ``directory``: a copy, because making MLflow's tables takes seconds."""
    if not _TEMPLATES:
        _TEMPLATES.append(tempfile.TemporaryDirectory())
        connect(TrackingParams(uri=f"sqlite:///{_TEMPLATES[0].name}/mlflow.db", experiment="template"))
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(_TEMPLATES[0].name) / "mlflow.db", directory / "mlflow.db")
    return f"sqlite:///{directory}/mlflow.db"


def make_base(workspace: Path) -> None:
    with publish(workspace / "data", fingerprint="data") as directory:
        for split in ("train", "validation", "test"):
            problem = Problem(split, "x^2+1", "{}", "polynomial", split)
            write_records(directory / f"{split}.parquet", problems_to_table([problem]), PROBLEM)
    with publish(workspace / "base", fingerprint="base") as directory:
        (directory / "model.safetensors").write_bytes(b"base weights")
    with publish(workspace / "gates" / "problems", fingerprint="gate") as directory:
        write_json(directory / "result.json", {"success": True, "failures": []})


def add_base_evaluation_of_arm(workspace: Path, arm: str) -> None:
    with publish(workspace / "improve" / arm / "iterations/000000/evaluation", fingerprint="0") as directory:
        write_json(directory / "metrics.json", {"pass@1": 0.05})


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


def claim_arm(params: Params, workspace: Path, arm: str) -> None:
    """Write the origin.json that says which run the arm directory belongs to."""
    directory = workspace / "improve" / arm
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "origin.json", {"run": arm_origin(params, arm, workspace)})


def finish_arm(workspace: Path, arm: str) -> None:
    directory = workspace / "improve" / arm
    with publish(directory / "final", fingerprint=f"final {arm}", facts={"version": 4}) as final:
        (final / "model.safetensors").write_bytes(f"weights of {arm}".encode())
        (final / "config.json").write_text("{}")
    write_json(directory / "history.json", {"iterations": 4})


def add_evaluation(
    workspace: Path,
    name: str,
    rewards: dict[str, list[float]],
    *,
    dataset: str = "test",
    directory: Path | None = None,
    **conditions: object,
) -> None:
    """An evaluation as the evaluation stage publishes it, of ``workspace/base`` or of the arm's final policy."""
    policy = workspace / "base" if name == "base" else workspace / "improve" / name / "final"
    samples = len(next(iter(rewards.values())))
    correct = np.array([int(sum(values)) for values in rewards.values()])
    columns = {"problem_id": list(rewards), "samples": [samples] * len(rewards), "correct": correct}
    columns |= {f"pass@{k}": pass_at_k(samples, correct, k) for k in (1, 8)}
    columns["distinct_correct"] = distinct_correct(samples, [[1] * count for count in correct], 8)
    metrics = {
        key: {"value": float(np.mean(values)), "low": float(np.mean(values)) - 0.1, "high": 1.0}
        for key, values in columns.items()
        if key.startswith("pass@")
    }
    conditions = {
        "problems": len(rewards),
        "samples": samples,
        "distinct_samples": 8,
        "confidence": 0.95,
        "temperature": 1.0,
        "top_p": 1.0,
        "verifier_failures": 0,
    } | conditions
    identity = {"policy": content_digest(policy), "dataset": dataset}
    target = directory or workspace / "evaluation" / name
    with publish(target, fingerprint=f"{identity}{correct.tolist()}") as made:
        pq.write_table(pa.table(columns), made / "per_problem.parquet")
        write_json(made / "metrics.json", metrics | conditions | identity)


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
