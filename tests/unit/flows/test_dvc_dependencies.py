"""dvc.yaml's dependencies cover the code each stage runs: else DVC would call a stage up to date that is not."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = grimp.build_graph("components", cache_dir=None)

# How a stage speaks (error lines, argument parsing, how params are read) and when its helper processes end does not
# change what it makes.
NEUTRAL = {
    "components.command",
    "components.errors",
    "components.params",
    "components.process_guard",
    "components.validation",
}


def entry_module(command: str) -> str:
    match = re.search(r"python -m (\S+)", command)
    assert match is not None
    package = match.group(1)
    return package if package in GRAPH.modules and f"{package}.__main__" not in GRAPH.modules else f"{package}.__main__"


def path_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_module_a_stage_imports_is_a_dependency(stage: str) -> None:
    entry = entry_module(STAGES[stage]["cmd"])
    used = {entry, *GRAPH.find_upstream_modules(entry)} - NEUTRAL
    declared = [dep for dep in STAGES[stage]["deps"] if dep.startswith("components/")]
    paths = sorted(path_of(module) for module in used if not path_of(module).endswith("__init__.py"))
    missing = [path for path in paths if not any(path == dep or path.startswith(f"{dep}/") for dep in declared)]
    assert missing == []


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_dependency_on_code_exists(stage: str) -> None:
    for dep in STAGES[stage]["deps"]:
        if dep.startswith("components/"):
            assert (ROOT / dep).exists(), dep
