"""Workspaces in the real format, made in milliseconds without a model: for tests and for the benchmark."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluation import bootstrap_interval, pass_at_k
from components.manifest import publish, read_manifest
from components.objectives import get_objective
from components.records import PROBLEM, SCORED_ROLLOUT, Problem, problems_to_table, write_records

KS = (1, 2, 4, 8, 16, 32)
SAMPLES = 64
ARMS = {
    "grpo": {"objective": {"name": "grpo"}, "loss_aggregation": "own_length"},
    "poly_epo": {"objective": {"name": "poly_epo", "set_size": 4, "require_two_clusters": True}},
}
HOSTILE = [
    "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>",
    "\x1b[31mred\x1b[0m \x07\x08\x00",
    "answer \u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\u200d",
    "{{ 7 * 7 }} ${7*7} </pre></main><h1 id=escaped>",
    "x" * 1_000_000,
    "lone \ufffd and \ue000 private, \U000e0041 tag",
    "'\"><svg/onload=alert(1)>",
    "e" + "\u0301" * 200,
]


def make_workspace(
    root: Path,
    *,
    arms: Sequence[str] = ("grpo", "poly_epo"),
    iterations: int = 6,
    problems: int = 12,
    group_size: int = 8,
    seed: int = 0,
    params: dict[str, Any] | None = None,
) -> Path:
    """A finished archived workspace at ``root``: data, base, arms with rollouts, evaluations, params.yaml."""
    root.mkdir(parents=True, exist_ok=True)
    write_params(root, arms, iterations, group_size, params or {})
    make_data(root, problems)
    make_policy(root / "base", f"base-{seed}", {"version": 0})
    make_evaluation(root, "base", root / "base", skill=0.1, seed=seed)
    for place, arm in enumerate(arms):
        for number in range(1, iterations + 1):
            make_iteration(root, arm, number, iterations, group_size=group_size, seed=seed + place)
        finish_arm(root, arm, iterations, seed=seed)
        make_evaluation(root, arm, root / "improve" / arm / "final", skill=0.3 + 0.2 * place, seed=seed)
    return root


def write_params(root: Path, arms: Sequence[str], iterations: int, group_size: int, more: dict[str, Any]) -> None:
    """params.yaml with the keys that the pages show."""
    document = {
        "training": {"learning_rate": 3.0e-4},
        "improve": {"arms": list(arms), "iterations": iterations, "group_size": group_size},
        "arms": ARMS,
        "tracking": {"uri": "sqlite:///.poly-epo/mlflow.db"},
        "registry": {"model": "poly-epo"},
    }
    (root / "params.yaml").write_text(json.dumps(document | more), encoding="utf-8")  # JSON is YAML


def make_data(root: Path, problems: int) -> None:
    """data/ with the three splits."""
    with publish(root / "data", fingerprint=f"data-{problems}") as directory:
        for split in ("train", "validation", "test"):
            records = [Problem(f"{split}-{i}", f"y=x^2+{i}x:", "", "polynomial", split) for i in range(problems)]
            write_records(directory / f"{split}.parquet", problems_to_table(records), PROBLEM)


def make_policy(directory: Path, fingerprint: str, facts: dict[str, Any]) -> None:
    """A policy directory by its manifest; nothing here loads weights."""
    with publish(directory, fingerprint=fingerprint, facts=facts) as temporary:
        (temporary / "config.json").write_text("{}", encoding="utf-8")


def make_iteration(
    root: Path,
    arm: str,
    number: int,
    iterations: int,
    *,
    group_size: int = 8,
    seed: int = 0,
    problems: int = 4,
    completions: Sequence[str] = (),
) -> None:
    """rollouts (manifest alone), scored, update and every second evaluation of one iteration."""
    directory = root / "improve" / arm / "iterations" / f"{number:06d}"
    share = number / iterations
    with publish(directory / "rollouts", fingerprint=f"r{arm}{number}"):
        pass
    with publish(directory / "scored", fingerprint=f"s{arm}{number}{seed}") as scored:
        table = scored_table(
            arm, share, group_size=group_size, seed=seed + number, problems=problems, completions=completions
        )
        write_records(scored / "scored.parquet", table, SCORED_ROLLOUT)
        dump(scored / "metrics.json", {**scored_metrics(share, seed + number)})
    if number % 2 == 0:
        with publish(directory / "evaluation", fingerprint=f"e{arm}{number}") as evaluation:
            dump(evaluation / "metrics.json", {"pass@1": 0.5 * share, "distinct_correct": 1 + 2 * share})
    # The update last: then the iteration is done.
    with publish(directory / "update", fingerprint=f"u{arm}{number}") as update:
        dump(update / "metrics.json", update_metrics(share, seed + number))


def finish_arm(root: Path, arm: str, iterations: int, *, seed: int = 0) -> None:
    """final/ and history.json."""
    make_policy(root / "improve" / arm / "final", f"final-{arm}-{seed}", {"version": iterations})
    shares = [(number, number / iterations) for number in range(1, iterations + 1)]
    rows = [
        {"iteration": number} | scored_metrics(share, seed + number) | update_metrics(share, seed + number)
        for number, share in shares
    ]
    evaluations = [
        {"iteration": number, "pass@1": 0.5 * share, "distinct_correct": 1 + 2 * share}
        for number, share in shares
        if number % 2 == 0
    ]
    dump(root / "improve" / arm / "history.json", {"iterations": rows, "evaluations": evaluations})


def make_evaluation(root: Path, model: str, policy: Path, *, skill: float, seed: int = 0, problems: int = 40) -> None:
    """evaluation/MODEL with values per problem and their intervals."""
    generator = np.random.default_rng([seed, len(model)])
    correct_P = generator.binomial(SAMPLES, np.clip(generator.normal(skill, 0.15, problems), 0.01, 0.99))
    values = {f"pass@{k}": pass_at_k(SAMPLES, correct_P, k) for k in KS}
    values["distinct_correct"] = np.minimum(correct_P, 1 + 3 * skill * generator.random(problems))
    metrics: dict[str, Any] = {
        name: bootstrap_interval(values_P, draws=100, confidence=0.95, seed=0).as_dict()
        for name, values_P in values.items()
    }
    found = read_manifest(policy)
    metrics |= {"policy": found.digest if found else "", "dataset": "d" * 64, "samples": SAMPLES}
    metrics |= {"distinct_samples": 32, "confidence": 0.95, "temperature": 1.0, "top_p": 1.0, "problems": problems}
    with publish(root / "evaluation" / model, fingerprint=f"{model}-{seed}") as directory:
        dump(directory / "metrics.json", metrics)
        columns = {
            "problem_id": [f"test-{i}" for i in range(problems)],
            "samples": np.full(problems, SAMPLES),
            "correct": correct_P,
            **values,
        }
        pq.write_table(pa.table(columns), directory / "per_problem.parquet")


def scored_table(
    arm: str, share: float, *, group_size: int, seed: int, problems: int = 4, completions: Sequence[str] = ()
) -> pa.Table:
    """Scored rollouts of some problems; ``completions`` replace the texts of the first problem."""
    generator = np.random.default_rng(seed)
    rewards_PN = (generator.random((problems, group_size)) < 0.2 + 0.5 * share).astype(np.float64)
    clusters_PN = generator.integers(-1, 4, (problems, group_size))
    objective = get_objective(**ARMS.get(arm, ARMS["grpo"])["objective"])  # type: ignore[arg-type]
    advantages_PN = objective.advantages(rewards_PN, clusters_PN)
    scores_PN = objective.set_scores(rewards_PN, clusters_PN)
    rows = []
    for p in range(problems):
        for n in range(group_size):
            cluster = int(clusters_PN[p, n])
            text = completions[n % len(completions)] if completions and p == 0 else f"({n},{n * n + p})"
            rows.append(
                {
                    **{"problem_id": f"train-{p}", "sample_index": n, "prompt_ids": [1, 2], "completion_ids": [3, 4]},
                    **{"rollout_logprobs": [-0.5, -0.25], "completion": text, "finish_reason": "stop"},
                    **{"policy_version": 0, "engine": "example", "seed": seed, "parsed_answer": f"({n},{n})"},
                    **{"reward": rewards_PN[p, n], "cluster_id": cluster, "strategy": f"x={n}" if cluster >= 0 else ""},
                    **{"set_objective": scores_PN[p, n], "marginal_advantage": advantages_PN[p, n]},
                }
            )
    return pa.Table.from_pylist(rows, schema=SCORED_ROLLOUT)


def scored_metrics(share: float, seed: int) -> dict[str, float]:
    """Metrics of a scored batch."""
    noise = 0.03 * math.sin(seed * 12.9898)
    return {
        "reward_mean": 0.1 + 0.5 * share + noise,
        "coverage": min(0.5 + 0.45 * share + noise, 1.0),
        "distinct_correct": 1.0 + 1.5 * share + noise,
        "distinct_clusters": 4.0 - share,
        "degenerate_share": 0.1,
        "signal_share": 0.8,
        "wrong_positive_share": 0.05,
    }


def update_metrics(share: float, seed: int) -> dict[str, float]:
    """Metrics of an update."""
    noise = 0.02 * math.sin(seed * 78.233)
    return {
        "loss": 0.1 * noise,
        "clip_fraction": 0.02 + abs(noise),
        "mismatch_kl": 1e-5 * (1 + noise),
        "entropy": 2.0 - share + noise,
        "grad_norm": 0.5,
        "learning_rate": 3e-4,
        "completion_tokens": 1920.0,
    }


def dump(path: Path, value: object) -> None:
    """JSON without the fsync of `write_json`: these files are made by the thousand."""
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def write_timings(path: Path, iterations: int) -> None:
    """Timings as `components.improve` writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"iteration": n, "step": step, "seconds": 0.5, **({"tokens_per_second": 9000.0 + n} if t else {})})
        for n in range(1, iterations + 1)
        for step, t in (("rollout", True), ("score", False), ("update", False))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def link_tree(source: Path, target: Path) -> None:
    """``target`` as a copy of the directory ``source`` made of hard links."""
    for path in source.rglob("*"):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
