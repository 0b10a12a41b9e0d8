"""Which policies stay: the newest, those a resumed run needs, and the best by a validation metric."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.improve.keeping import best_version, kept_versions
from components.improve.params import ImproveParams
from components.improve.workspace import ArmWorkspace, Step
from components.manifest import publish, write_json


@pytest.fixture
def workspace(tmp_path: Path) -> ArmWorkspace:
    """Versions 1 to 8, every second one evaluated; version 4 is the best, 6 as good."""
    made = ArmWorkspace(tmp_path / "arm", tmp_path / "base", "run")
    for version in range(1, 9):
        made.policy(version).mkdir(parents=True)
    for version, value in ((0, 0.9), (2, 0.3), (4, 0.7), (6, 0.7), (8, 0.1)):
        with publish(made.step(Step(version, "evaluate")), fingerprint="x") as directory:
            write_json(directory / "metrics.json", {"pass@1": value / 2, "pass@8": value})
    return made


def improve(**changed: object) -> ImproveParams:
    values = {"arms": ["a"], "iterations": 8, "prompts_per_iteration": 4, "group_size": 4}
    return ImproveParams.model_validate(values | changed)


@pytest.mark.parametrize(
    ("changed", "finished", "kept"),
    [
        ({}, False, {7, 8}),
        ({}, True, {8}),
        ({"keep_last": 3}, False, {6, 7, 8}),
        ({"keep_last": 3}, True, {6, 7, 8}),
        ({"keep_best": "pass@8"}, False, {4, 7, 8}),
        ({"keep_best": "pass@8"}, True, {4, 8}),
    ],
)
def test_what_is_kept(workspace: ArmWorkspace, changed: dict[str, object], finished: bool, kept: set[int]) -> None:
    assert kept_versions(workspace, improve(**changed), 8, finished=finished) == kept


def test_the_best_is_one_of_those_still_there_and_not_the_base(workspace: ArmWorkspace) -> None:
    settings = improve(keep_best="pass@8")
    best = best_version(workspace, settings, 8)
    assert best is not None
    assert (best.version, best.value) == (4, 0.7)
    workspace.policy(4).rmdir()
    again = best_version(workspace, settings, 8)
    assert again is not None
    assert again.version == 6
    assert best_version(workspace, settings, 1) is None


def test_an_unknown_metric_is_named_with_the_known_ones(workspace: ArmWorkspace) -> None:
    with pytest.raises(PolyEpoError, match=r"pass@9.*known: pass@1, pass@8"):
        best_version(workspace, improve(keep_best="pass@9"), 8)


def test_what_is_kept_is_no_part_of_a_runs_identity() -> None:
    assert improve(keep_last=5, keep_best="pass@8").model_dump() == improve().model_dump()
