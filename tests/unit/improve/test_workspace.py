from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.improve.workspace import ArmWorkspace, Step
from components.manifest import publish


def workspace(root: Path, run: str = "run") -> ArmWorkspace:
    return ArmWorkspace(root / "arm", root / "base", run)


def put(of: ArmWorkspace, step: Step, content: str = "") -> None:
    with publish(of.step(step), fingerprint=of.expected(step)) as directory:
        (directory / "content").write_text(content)


def test_a_step_is_done_where_all_before_it_is_what_it_was_made_from(tmp_path: Path) -> None:
    arm = workspace(tmp_path)
    rollout, score, update = Step(1, "rollout"), Step(1, "score"), Step(1, "update")
    for step in (rollout, score, update):
        assert not arm.is_done(step)
        put(arm, step)
        assert arm.is_done(step)
    put(arm, rollout, "other rollouts")
    assert arm.is_done(rollout)
    assert not arm.is_done(score)
    assert not workspace(tmp_path, "another run").is_done(rollout)


def test_a_step_whose_files_were_changed_is_an_error(tmp_path: Path) -> None:
    arm = workspace(tmp_path)
    put(arm, Step(1, "rollout"), "content")
    (arm.step(Step(1, "rollout")) / "content").write_text("CONTENT")
    with pytest.raises(PolyEpoError, match="rollouts/content: file is missing or differs"):
        arm.is_done(Step(1, "rollout"))


def test_claiming_keeps_this_runs_files_and_removes_another_runs(tmp_path: Path) -> None:
    workspace(tmp_path).claim(5)
    put(workspace(tmp_path), Step(1, "rollout"))
    workspace(tmp_path).claim(9)
    assert workspace(tmp_path).is_done(Step(1, "rollout"))
    workspace(tmp_path, "other").claim(5)
    assert [path.name for path in (tmp_path / "arm").iterdir()] == ["origin.json"]
    assert json.loads((tmp_path / "arm" / "origin.json").read_text()) == {"run": "other"}


def test_a_shorter_run_starts_anew(tmp_path: Path) -> None:
    arm = workspace(tmp_path)
    arm.claim(5)
    for step in (Step(3, "update"), Step(4, "rollout")):
        with publish(arm.step(step), fingerprint="f"):
            pass
    arm.claim(4)
    assert arm.step(Step(4, "rollout")).exists()
    arm.claim(3)
    assert not arm.step(Step(4, "rollout")).exists()


@pytest.mark.parametrize("origin", ['{"run": ""}', "", "{"])
def test_a_clearing_that_was_killed_is_done_again(tmp_path: Path, origin: str) -> None:
    arm = workspace(tmp_path)
    arm.claim(5)
    put(arm, Step(1, "rollout"))
    (arm.root / "origin.json").write_text(origin)
    arm.claim(5)
    assert [path.name for path in arm.root.iterdir()] == ["origin.json"]


def test_a_directory_that_is_no_arms_is_never_cleared(tmp_path: Path) -> None:
    arm = workspace(tmp_path)
    arm.root.mkdir()
    (arm.root / "thesis.tex").write_text("years of work")
    with pytest.raises(PolyEpoError, match="arm: not the workspace of an arm, and not empty"):
        arm.claim(5)
    assert [path.name for path in arm.root.iterdir()] == ["thesis.tex"]


def test_pruning_keeps_the_versions_it_is_told(tmp_path: Path) -> None:
    arm = workspace(tmp_path)
    for version in range(1, 5):
        arm.policy(version).mkdir(parents=True)
        arm.trainer(version).mkdir(parents=True)
    arm.prune({3, 4})
    assert sorted(path.name for path in (arm.root / "policies").iterdir()) == ["000003", "000004"]
    assert sorted(path.name for path in (arm.root / "trainer").iterdir()) == ["000003", "000004"]
    assert arm.policy(0) == tmp_path / "base"
