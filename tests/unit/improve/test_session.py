"""Runs in one process: a run is resumed, extended, begun anew, or refused, by what lies in its workspace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.improve.session import Session
from components.records import SCORED_ROLLOUT, read_records
from tests.unit.improve.small import ARM, contents, params, publish_inputs

OLD_EVALUATION = "iterations/000003/evaluation/"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return publish_inputs(tmp_path_factory.mktemp("inputs"))


def paths(inputs: tuple[Path, Path], out: Path) -> dict[str, Any]:
    return {"arm": ARM, "base": inputs[0], "problems": inputs[1], "out": out, "state": out.parent / "state"}


def run(inputs: tuple[Path, Path], out: Path, **improve: Any) -> list[str]:
    """Run to the end; the names of the steps that were done."""
    with Session.open(params(**improve), **paths(inputs, out)) as session:
        steps = session.pending_steps()
        for step in steps:
            session.run(step)
        session.finish()
    return [str(step) for step in steps]


@pytest.fixture(scope="module")
def straight(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five iterations, never stopped."""
    out = tmp_path_factory.mktemp("straight") / ARM
    run(inputs, out)
    return out


@pytest.fixture
def copied(straight: Path, tmp_path: Path) -> Path:
    shutil.copytree(straight, tmp_path / ARM)
    return tmp_path / ARM


def test_what_a_run_leaves(straight: Path, inputs: tuple[Path, Path]) -> None:
    assert sorted(path.name for path in straight.iterdir()) == [
        "final",
        "history.json",
        "iterations",
        "origin.json",
        "policies",
        "trainer",
    ]
    history = json.loads((straight / "history.json").read_text())
    assert [row["iteration"] for row in history["iterations"]] == [1, 2, 3, 4, 5]
    assert [row["iteration"] for row in history["evaluations"]] == [0, 3, 5]
    # The run is a real one: there was signal in every iteration, and the weights moved.
    assert all(row["trained_share"] > 0 for row in history["iterations"])
    weights = [load_file(directory / "model.safetensors") for directory in (inputs[0], straight / "final")]
    assert not all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert contents(straight / "final", without=("manifest.json",)) == contents(
        straight / "policies" / "000005", without=("manifest.json",)
    )


def test_every_iteration_samples_with_the_policy_before_it(straight: Path) -> None:
    for iteration in range(1, 6):
        table = read_records(straight / f"iterations/{iteration:06d}/scored/scored.parquet", SCORED_ROLLOUT)
        assert set(table["policy_version"].to_pylist()) == {iteration - 1}
        assert len(table) == 4 * 8
        assert len(pc.unique(table["problem_id"])) == 4


def test_a_finished_run_does_nothing_and_changes_no_byte(copied: Path, inputs: tuple[Path, Path]) -> None:
    before = contents(copied)
    assert run(inputs, copied) == []
    assert contents(copied) == before


def test_a_fresh_session_for_every_step_ends_with_the_same_bytes(
    straight: Path, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / ARM
    for _ in range(100):
        with Session.open(params(), **paths(inputs, out)) as session:
            steps = session.pending_steps()
            if not steps:
                session.finish()
                break
            session.run(steps[0])
    assert contents(out) == contents(straight)


def test_an_extended_run_goes_on_and_ends_like_a_straight_one(
    straight: Path, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / ARM
    run(inputs, out, iterations=2)
    done = run(inputs, out, iterations=5)
    assert done[0] == "rollout-000003"
    without = ("iterations/000002/evaluation/", "history.json")
    assert contents(out, without=without) == contents(straight, without=without)
    histories = [json.loads((root / "history.json").read_text()) for root in (out, straight)]
    assert histories[0]["iterations"] == histories[1]["iterations"]


def test_a_shorter_run_starts_anew_and_ends_like_a_straight_one(
    copied: Path, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    done = run(inputs, copied, iterations=2)
    assert done[0] == "evaluate-000000"
    run(inputs, tmp_path / "short", iterations=2)
    assert contents(copied) == contents(tmp_path / "short")


def test_changed_params_clear_what_the_other_run_left(copied: Path, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(inputs, copied, seed=1, iterations=2)
    assert done[0] == "evaluate-000000"
    run(inputs, tmp_path / "fresh", seed=1, iterations=2)
    assert contents(copied) == contents(tmp_path / "fresh")


def test_a_second_session_on_the_same_workspace_is_refused(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        Session.open(params(), **paths(inputs, tmp_path / ARM)),
        pytest.raises(PolyEpoError, match="another process is training here -> wait for it to end"),
        Session.open(params(), **paths(inputs, tmp_path / ARM)),
    ):
        pass
    with Session.open(params(), **paths(inputs, tmp_path / ARM)) as session:
        assert session.pending_steps()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("iterations/000002/scored/scored.parquet", "scored.parquet: file is missing or differs from its manifest"),
        ("policies/000005/model.safetensors", "model.safetensors: file is missing or differs from its manifest"),
        ("trainer/000005/optimizer.safetensors", "optimizer.safetensors: file is missing or differs"),
    ],
)
def test_a_damaged_file_stops_the_run_with_its_name(
    copied: Path, inputs: tuple[Path, Path], damaged: str, message: str
) -> None:
    file = copied / damaged
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(PolyEpoError, match=message):
        run(inputs, copied, iterations=6)


def test_a_lost_policy_stops_the_run_with_the_remedy(copied: Path, inputs: tuple[Path, Path]) -> None:
    shutil.rmtree(copied / "policies")
    with pytest.raises(PolyEpoError, match=r"not what the update of iteration 5 made -> .*the arm starts anew"):
        run(inputs, copied, iterations=6)


def test_a_removed_step_is_done_again_from_there(straight: Path, copied: Path, inputs: tuple[Path, Path]) -> None:
    shutil.rmtree(copied / "iterations" / "000005" / "evaluation")
    shutil.rmtree(copied / "final")
    assert run(inputs, copied) == ["evaluate-000005"]
    assert contents(copied) == contents(straight)


def test_an_update_that_diverges_publishes_nothing(
    copied: Path, inputs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.training import trainer

    real = trainer.loss_of

    def spoilt(*arguments: Any, **options: Any) -> Any:
        outputs = real(*arguments, **options)
        outputs.loss.mul_(float("nan"))
        return outputs

    with Session.open(params(iterations=6), **paths(inputs, copied)) as session:
        for name in ("rollout-000006", "score-000006"):
            step = session.pending_steps()[0]
            assert str(step) == name
            session.run(step)
        before = contents(copied)
        update = session.pending_steps()[0]
        monkeypatch.setattr(trainer, "loss_of", spoilt)
        with pytest.raises(PolyEpoError, match="the loss is not finite"):
            session.run(update)
        assert contents(copied) == before
        # The same session goes on as if nothing had been: the spoilt trainer is loaded anew.
        monkeypatch.setattr(trainer, "loss_of", real)
        session.run(update)


def test_missing_inputs_are_one_line(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    for missing in ("base", "problems"):
        options = paths(inputs, tmp_path / ARM) | {missing: tmp_path / "none"}
        with pytest.raises(PolyEpoError, match="none: nothing is published here"), Session.open(params(), **options):
            pass
    options = paths(inputs, tmp_path / ARM) | {"arm": "x"}
    with pytest.raises(PolyEpoError, match=r"unknown arm 'x'.*known arms: "), Session.open(params(), **options):
        pass
    assert not (tmp_path / ARM).exists()
