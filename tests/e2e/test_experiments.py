"""`dvc exp run` with changed parameters works on the same stages, and `dvc exp show` compares."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def shown(checkout: Checkout) -> dict[str, dict[str, Any]]:
    """Name of the revision or experiment -> its data, from `dvc exp show`."""
    document = json.loads(checkout.run("dvc", "exp", "show", "--json").stdout)
    found = {}
    for revision in document:
        found[revision.get("name") or revision["rev"]] = revision["data"]
        for experiment in revision.get("experiments") or []:
            for run in experiment["revs"]:
                found[run["name"] or run["rev"]] = run["data"]
    return found


def test_an_experiment_runs_what_its_parameters_change_and_is_compared(
    finished: tuple[Checkout, str], tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished[0].root, root, symlinks=True)
    checkout = Checkout(root)
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-q", "-m", "ran")

    said = checkout.run("dvc", "exp", "run", "--name", "other-seed", "-S", "improve.seed=1").stdout
    assert "Running stage 'improve@poly_epo'" in said
    assert "Running stage 'base'" not in said

    compared = shown(checkout)
    other, before = compared["other-seed"], next(compared[name] for name in compared if name in ("main", "master"))
    assert before["params"]["params.yaml"]["data"]["improve"]["seed"] == 0
    assert other["params"]["params.yaml"]["data"]["improve"]["seed"] == 1
    metrics = "reports/comparison/metrics.json"
    now, then = other["metrics"][metrics]["data"], before["metrics"][metrics]["data"]
    assert now["poly_epo"]["pass@1"] != then["poly_epo"]["pass@1"]
    assert now["base"] == then["base"]
