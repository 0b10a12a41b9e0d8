"""An objective from outside the project, found by import path, trains in a real short run through the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from components.data.params import DataParams
from components.data.stage import make_data
from components.params import merge_overlay
from components.policy.__main__ import make_base
from components.policy.params import PolicyParams

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "improve": {
        "arms": ["mine"],
        "iterations": 2,
        "prompts_per_iteration": 4,
        "group_size": 6,
        "minibatches": 2,
        "evaluation_samples": 8,
    },
    "arms": {"mine": {"objective": {"name": "my_objectives:CorrectStrategies", "set_size": 3}}},
}


def test_a_users_objective_trains(tmp_path: Path) -> None:
    page = (ROOT / "docs/objectives.md").read_text()
    (source,) = re.findall(r"^```python\n(# my_objectives\.py\n.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my_objectives.py").write_text(source)
    params = merge_overlay(yaml.safe_load((ROOT / "params.yaml").read_text()), SMALL)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    make_data(DataParams.model_validate({"demonstrations": {"per_problem": 4}}), tmp_path / "data")
    tiny = {"source": {"kind": "tiny", "hidden_size": 16, "layers": 1, "heads": 2}, "threads": 1}
    make_base(PolicyParams.model_validate(tiny), tmp_path / "data", tmp_path / "base")

    command = [sys.executable, "-m", "components.improve", "--arm", "mine"]
    paths = ["--base", "base", "--problems", "data", "--out", "mine"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *paths], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    history = json.loads((tmp_path / "mine/history.json").read_text())
    assert [row["iteration"] for row in history["iterations"]] == [1, 2]
    assert (tmp_path / "mine/final/model.safetensors").is_file()


def test_an_unknown_objective_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    params = merge_overlay(
        yaml.safe_load((ROOT / "params.yaml").read_text()), {"arms": {"grpo": {"objective": {"name": "gpro"}}}}
    )
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "components.improve", "--arm", "grpo"]
    paths = ["--base", "base", "--problems", "data", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *paths], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "arms.grpo.objective" in line
    assert "known: grpo, grpo_div" in line
    assert not (tmp_path / "out").exists()
