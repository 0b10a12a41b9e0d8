"""DVC's half of a stage: the same lock bytes as `dvc repro`, whatever order the stages end in."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from flows.lockfile import ordered_names
from flows.stages import Begin, Project
from tests.unit.flows.toy import calls, copy_project, environment, make_project, run


def run_all(project: Project, order: list[str]) -> dict[str, Begin]:
    """Begin and run every stage, record them in ``order`` (parents first)."""
    by_name = {stage.name: stage for stage in project.plan()}
    outcomes = {}
    for name in order:
        outcomes[name] = project.begin(name)
        if outcomes[name] is Begin.RUN:
            with project.busy(name):
                for command in by_name[name].commands:
                    subprocess.run(command, shell=True, check=True, cwd=project.root, env=environment())
            project.record(name)
    return outcomes


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path / "toy")
    monkeypatch.chdir(root)
    return root


def test_plan_is_the_matrix_expanded_with_parents(toy: Path) -> None:
    plan = {stage.name: stage for stage in Project(toy).plan()}
    assert set(plan) == {"data", "slow", "improve@a", "improve@b", "compare"}
    assert plan["compare"].parents == ("improve@a", "improve@b", "slow")
    assert plan["improve@b"].commands == ("python work.py b out/improve/b out/data",)
    assert plan["data"].parents == ()


def test_same_lock_bytes_as_dvc_repro_in_any_order_of_ending(toy: Path, tmp_path: Path) -> None:
    twin = copy_project(toy, tmp_path / "twin")
    run(twin, sys.executable, "-m", "dvc", "repro")
    run_all(Project(toy), ["data", "improve@b", "slow", "improve@a", "compare"])
    assert (toy / "dvc.lock").read_bytes() == (twin / "dvc.lock").read_bytes()
    ignored, expected = ((root / "out/.gitignore").read_text().split() for root in (toy, twin))
    assert sorted(ignored) == sorted(expected)
    status = run(toy, sys.executable, "-m", "dvc", "status")
    assert "up to date" in status.stdout
    before = calls(toy)
    run(toy, sys.executable, "-m", "dvc", "repro")
    assert calls(toy) == before


@pytest.mark.parametrize("left", ["", '{"read": {"/somewh'])
def test_a_list_of_busy_paths_that_a_full_disk_cut_off_is_no_obstacle(toy: Path, left: str) -> None:
    (toy / ".dvc/tmp").mkdir(exist_ok=True)
    (toy / ".dvc/tmp/rwlock").write_text(left)
    project = Project(toy)
    assert project.begin("data") is Begin.RUN
    with project.busy("data"):
        pass


def test_a_list_of_busy_paths_that_can_be_read_stays(toy: Path) -> None:
    project = Project(toy)
    with project.busy("data"):
        before = (toy / ".dvc/tmp/rwlock").read_text()
        Project(toy)
        assert (toy / ".dvc/tmp/rwlock").read_text() == before
        assert "poly-epo run data" in before


def test_second_pass_finds_everything_up_to_date(toy: Path) -> None:
    order = [stage.name for stage in Project(toy).plan()]
    run_all(Project(toy), order)
    assert set(run_all(Project(toy), order).values()) == {Begin.UP_TO_DATE}


def test_persistent_outputs_stay_and_others_go(toy: Path) -> None:
    project = Project(toy)
    run_all(project, [stage.name for stage in project.plan()])
    assert project.begin("improve@a", force=True) is Begin.RUN
    assert (toy / "out/improve/a").exists()
    assert project.begin("slow", force=True) is Begin.RUN
    assert not (toy / "out/slow").exists()


def test_known_result_comes_from_the_run_cache(toy: Path) -> None:
    project = Project(toy)
    run_all(project, [stage.name for stage in project.plan()])
    params = (toy / "params.yaml").read_text()
    (toy / "params.yaml").write_text(params.replace("rows: 3", "rows: 4"))
    run_all(Project(toy), ["data"])
    (toy / "params.yaml").write_text(params)
    before = calls(toy)
    assert Project(toy).begin("data") is Begin.RESTORED
    assert calls(toy) == before
    assert Project(toy).begin("data") is Begin.UP_TO_DATE


def test_output_that_was_not_made_is_an_error_that_names_it(toy: Path) -> None:
    project = Project(toy)
    project.begin("data")
    with pytest.raises(PolyEpoError, match=r"stage data: cannot record the stage: .*out/data"):
        project.record("data")
    assert not (toy / "dvc.lock").exists()


def test_other_dvc_processes_see_a_running_stage_as_busy(toy: Path) -> None:
    project = Project(toy)
    project.begin("data")
    with project.busy("data"):
        other = run(toy, sys.executable, "-m", "dvc", "repro", check=False)
    assert other.returncode != 0
    assert "poly-epo run data" in other.stderr
    run(toy, sys.executable, "-m", "dvc", "repro")


def test_not_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolyEpoError, match="not in the project's root"):
        Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolyEpoError, match="no DVC project"):
        Project(tmp_path)


def test_broken_pipeline_file_is_one_line(toy: Path) -> None:
    (toy / "dvc.yaml").write_text("stages: {data: {cmd: 3, depz: []}}")
    with pytest.raises(PolyEpoError, match=r"cannot read the stages") as caught:
        Project(toy)
    assert "\n" not in str(caught.value)


def test_lock_order_keeps_what_was_there_and_appends_by_plan() -> None:
    assert ordered_names(["c", "a", "b", "x"], ["c", "x"], ["a", "b", "c"]) == ["c", "x", "a", "b"]
    assert ordered_names(["b", "a"], [], ["a", "b"]) == ["a", "b"]
