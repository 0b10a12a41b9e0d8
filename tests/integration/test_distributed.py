"""Two processes on gloo: the update of one, bit-identical after kill -9, resumed by one; a lost rank stops the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.training import launch
from components.training.distributed import SINGLE
from components.training.launch import opened
from components.training.params import TrainingParams
from components.training.shards import save_shards
from tests.unit.improve.small import ARM, contents, document, publish_inputs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base, data, and a finished run of one process whose scored rollouts the tests update on."""
    directory = tmp_path_factory.mktemp("distributed")
    publish_inputs(directory)
    write_params(directory, processes=1)
    finish(start(directory, "one"))
    return directory


def write_params(place: Path, *, processes: int, **training: object) -> None:
    values = document(iterations=2, evaluate_every=2, keep_best="pass@1")
    values["training"] |= {"processes": processes, "micro_batch_tokens": 30, **training}
    (place / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def start(place: Path, out: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = ["--arm", ARM, "--base", str(place / "base"), "--problems", str(place / "data"), "--out", out]
    command = [sys.executable, "-m", "components.improve", *options]
    return subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def parameters(**changed: object) -> TrainingParams:
    values = {"learning_rate": 0.01, "warmup_steps": 3, "betas": (0.9, 0.95), "micro_batch_tokens": 30} | changed
    return TrainingParams.model_validate(values)


def updated(place: Path, out: Path, params: TrainingParams, state: Path | None = None) -> dict[str, float]:
    """One update on the first scored batch; weights and state in ``out``."""
    scored = place / "one/iterations/000001/scored/scored.parquet"
    out.mkdir(exist_ok=True)
    with opened(params, max_new_tokens=6, threads=1, mailbox=out / "mailbox") as trainer:
        trainer.load(place / "base", state)
        metrics = trainer.update(scored, minibatches=2)
        (out / "policy").mkdir()
        (out / "state").mkdir()
        trainer.save_policy(out / "policy")
        trainer.save_state(out / "state")
    return metrics


def moments(directory: Path) -> dict[str, torch.Tensor]:
    """Whole tensors of however many files there are; rows in the order of the ranks."""
    files = [load_file(path) for path in sorted(directory.glob("*.safetensors"))]
    names = {name for file in files for name in file}
    return {name: torch.cat([file[name] for file in files if name in file]) for name in sorted(names)}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    difference = torch.stack([(one[name] - other[name]).norm() for name in one]).norm()
    return float(difference / torch.stack([value.norm() for value in one.values()]).norm())


@pytest.fixture(scope="module")
def pair(place: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics of the same update by one process and by two."""
    return updated(place, place / "by1", parameters()), updated(place, place / "by2", parameters(processes=2))


def test_two_processes_make_the_update_of_one(place: Path, pair: tuple[dict[str, float], dict[str, float]]) -> None:
    one, two = pair
    assert one["trained_share"] > 0
    assert two == pytest.approx(one, rel=1e-5)
    # AdamW's first moment is a sum of the two steps' gradients.
    first, second = (
        {name: value for name, value in moments(place / by / "state").items() if name.startswith("exp_avg.")}
        for by in ("by1", "by2")
    )
    assert distance(first, second) < 1e-5
    weights = [load_file(place / by / "policy/model.safetensors") for by in ("by1", "by2")]
    assert distance(*weights) < 1e-5
    assert len(list((place / "by2/state").glob("*.safetensors"))) == 2


def test_two_processes_with_activation_checkpointing_make_the_same_update(
    place: Path, pair: tuple[dict[str, float], dict[str, float]]
) -> None:
    metrics = updated(place, place / "checkpointed", parameters(processes=2, gradient_checkpointing=True))
    assert metrics == pytest.approx(pair[0], rel=1e-5)
    assert distance(moments(place / "by1/state"), moments(place / "checkpointed/state")) < 1e-5
    weights = [load_file(place / by / "policy/model.safetensors") for by in ("by1", "checkpointed")]
    assert distance(*weights) < 1e-5


def test_the_state_of_two_is_loaded_by_one_and_by_three(
    place: Path, pair: tuple[dict[str, float], dict[str, float]], tmp_path: Path
) -> None:
    whole = moments(place / "by2/state")
    for processes in (1, 3):
        out = tmp_path / f"by{processes}"
        out.mkdir()
        with opened(parameters(processes=processes), max_new_tokens=6, threads=1, mailbox=out / "mailbox") as trainer:
            trainer.load(place / "base", place / "by2/state")
            (out / "state").mkdir()
            trainer.save_state(out / "state")
        again = moments(out / "state")
        assert again.keys() == whole.keys()
        assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_fault_on_a_rank_reaches_the_session_in_one_line(place: Path, tmp_path: Path) -> None:
    strange = tmp_path / "state"
    strange.mkdir()
    facts = {"steps": "1", "skipped_in_row": "0"}
    save_shards({"exp_avg.x": torch.zeros(2)}, "optimizer", strange, SINGLE, facts)
    with (
        opened(parameters(processes=2), max_new_tokens=6, threads=1, mailbox=tmp_path / "mailbox") as trainer,
        pytest.raises(PolyEpoError, match="belongs to another model"),
    ):
        trainer.load(place / "base", strange)


def started_by_a_user(mailbox: Path) -> subprocess.Popen[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "components.training.worker", "--mailbox", str(mailbox)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_processes_that_a_user_started_are_followed_and_ended(
    place: Path, pair: tuple[dict[str, float], dict[str, float]], tmp_path: Path
) -> None:
    mailbox = tmp_path / "out/mailbox"
    started = started_by_a_user(mailbox)
    try:
        metrics = updated(place, tmp_path / "out", parameters(processes=2, launcher="external"))
        assert metrics == pair[1]
        _, errors = started.communicate(timeout=120)
        assert started.returncode == 0, errors
    finally:
        started.kill()
    assert not (mailbox / "request.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_when_all_processes_that_a_user_started_die_the_run_stops_and_resumes_with_new_ones(
    place: Path,
    pair: tuple[dict[str, float], dict[str, float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored = place / "one/iterations/000001/scored/scored.parquet"
    mailbox = tmp_path / "out/mailbox"
    params = parameters(processes=2, launcher="external")
    started = started_by_a_user(mailbox)
    try:
        with opened(params, max_new_tokens=6, threads=1, mailbox=mailbox) as trainer:
            trainer.load(place / "base", None)
            # No process is left to say anything; torchrun goes first, or it would end the ranks in its own way.
            for process in [started.pid, *children(started.pid)]:
                os.kill(process, signal.SIGKILL)
            started.communicate()
            # Dead ones are silent for any time; only the test need not wait for minutes.
            monkeypatch.setattr(launch, "_SILENT_SECONDS", 1.0)
            with pytest.raises(PolyEpoError, match=r"no sign of rank [01](, 1)? for 1 s") as fault:
                trainer.update(scored, minibatches=2)
        assert "\n" not in str(fault.value)
        assert "run the same command" in str(fault.value)
    finally:
        started.kill()
    monkeypatch.undo()
    again = started_by_a_user(mailbox)
    try:
        assert updated(place, tmp_path / "out", params) == pair[1]
        again.communicate(timeout=120)
    finally:
        again.kill()


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield int(child)
            yield from children(int(child))


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def workers(pid: int) -> list[int]:
    """The trainer's ranks below the process ``pid``."""
    return [child for child in children(pid) if " -m components.training.worker" in command_of(child)]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_run_of_two_killed_resumes_bit_for_bit_and_goes_on_with_one(place: Path) -> None:
    write_params(place, processes=2)
    finish(start(place, "two"))
    killed = start(place, "killed")
    wait_for(place / "killed/iterations/000001/update/manifest.json", killed)
    ranks = [child for child in workers(killed.pid) if "distributed.run" not in command_of(child)]
    assert len(ranks) == 2
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    deadline = time.monotonic() + 30
    while any("components.training.worker" in command_of(rank) for rank in ranks):
        assert time.monotonic() < deadline, "a rank outlived the session"
        time.sleep(0.01)
    finish(start(place, "killed"))
    assert contents(place / "killed") == contents(place / "two")
    # The same workspace, one more iteration, one process: it goes on from the state of two.
    write_params(place, processes=1)
    values = yaml.safe_load((place / "params.yaml").read_text())
    values["improve"]["iterations"] = 3
    (place / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    finish(start(place, "killed"))
    history = json.loads((place / "killed/history.json").read_text())
    straight = json.loads((place / "two/history.json").read_text())
    assert history["iterations"][:2] == straight["iterations"]
    assert len(history["iterations"]) == 3
    assert json.loads((place / "killed/best.json").read_text())["metric"] == "pass@1"
    assert len(list((place / "killed/trainer/000003").glob("*.safetensors"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_lost_rank_stops_the_run_with_one_line_and_it_resumes(place: Path) -> None:
    write_params(place, processes=2)
    run = start(place, "lost")
    wait_for(place / "lost/iterations/000001/update/manifest.json", run)
    rank = next(child for child in workers(run.pid) if "distributed.run" not in command_of(child))
    os.kill(rank, signal.SIGKILL)
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 2, errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert "a process of the trainer was lost" in errors.splitlines()[-1]
    finish(start(place, "lost"))
    assert contents(place / "lost") == contents(place / "two")
