"""A run small enough for tests: a policy of 5,000 parameters, eight problems, iterations of milliseconds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import yaml

from components.manifest import publish
from components.params import Params, merge_overlay, parse_params
from components.policy.load import save_policy
from components.policy.params import WarmStart
from components.policy.warm_start import encode_demonstrations, warm_start
from components.records import PROBLEM, Problem, problems_to_table, write_records
from tests.tiny import tiny_model

ARM = "poly_epo"
_DEFAULTS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8"))
_SMALL: dict[str, Any] = {
    "gates": {"every": 1000},
    "scoring": {"verifier": "exact", "clusterer": "answer"},
    "rollout": {"max_new_tokens": 6, "batch_size": 16},
    "training": {"micro_batch_tokens": 96, "max_skipped_steps": 0, "learning_rate": 0.01, "warmup_steps": 3},
    "improve": {
        "arms": [ARM],
        "iterations": 5,
        "prompts_per_iteration": 4,
        "group_size": 8,
        "minibatches": 2,
        "evaluate_every": 3,
        "evaluation_samples": 4,
        "threads": 1,
    },
}


def document(**improve: Any) -> dict[str, Any]:
    """A params document; ``improve`` changes that section."""
    arms = {ARM: {"objective": {"name": "poly_epo", "set_size": 4}}}
    base = copy.deepcopy(_DEFAULTS) | {"arms": arms}
    return merge_overlay(merge_overlay(base, _SMALL), {"improve": improve})


def params(**improve: Any) -> Params:
    return parse_params(document(**improve))


def problems(split: str, count: int) -> list[Problem]:
    return [Problem(f"{split}-{row}", f"{row}+(1)=", str(row % 3), "digits", split, "{}") for row in range(count)]


def publish_inputs(root: Path, *, hidden_size: int = 16) -> tuple[Path, Path]:
    """Below ``root`` the base policy, which answers with one digit, right a third of the time, and the problems."""
    data = root / "data"
    with publish(data, fingerprint="data") as directory:
        for split, count in (("train", 9), ("validation", 3)):
            write_records(directory / f"{split}.parquet", problems_to_table(problems(split, count)), PROBLEM)
    base = root / "base"
    torch.set_num_threads(1)
    model, tokenizer = tiny_model(layers=1, hidden_size=hidden_size)
    pairs = [(problem.prompt, digit) for problem in problems("train", 9) for digit in ("0", "1", "2", "12")]
    steps = WarmStart(steps=60, prompts_per_step=8, completions_per_prompt=2, learning_rate=0.03)
    warm_start(model, encode_demonstrations(tokenizer, pairs), steps, pad_id=0, seed=0)
    with publish(base, fingerprint="base") as directory:
        save_policy(model, tokenizer, directory)
    return base, data


def contents(root: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Relative path -> bytes of every file below ``root``."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(files.items()) if not name.startswith(without)}
