"""Two front doors over one dvc.yaml: `dvc repro` and the Prefect flow `retrain` leave the same state behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.server import PrefectServer
from tests.unit.flows.toy import calls, copy_project, launch, launch_argv, launch_env, make_project, run

pytestmark = pytest.mark.slow

ALL = {"data", "slow", "improve@a", "improve@b", "compare"}


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect server for all tests of this file."""
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    server = PrefectServer.start(tmp_path_factory.mktemp("prefect"), environment=environment)
    try:
        server.wait()
        yield server.api_url
    finally:
        server.stop()


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_project(tmp_path / "toy")


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Stage -> final state, from the last line the launcher printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(pair.split("=") for pair in done.stdout.splitlines()[-1].split())


def post(api_url: str, path: str, body: dict[str, Any]) -> Any:
    """The answer of Prefect's API."""
    request = urllib.request.Request(
        f"{api_url}/{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_either_door_leaves_the_same_lock_and_nothing_for_the_other(toy: Path, tmp_path: Path, api_url: str) -> None:
    twin = copy_project(toy, tmp_path / "twin")
    assert outcomes(launch(toy, api_url)) == dict.fromkeys(ALL, "Completed")
    run(twin, sys.executable, "-m", "dvc", "repro")
    assert (toy / "dvc.lock").read_bytes() == (twin / "dvc.lock").read_bytes()
    assert (toy / "out/compare").read_bytes() == (twin / "out/compare").read_bytes()

    assert "up to date" in run(toy, sys.executable, "-m", "dvc", "status").stdout
    ran = calls(toy)
    run(toy, sys.executable, "-m", "dvc", "repro")
    assert calls(toy) == ran

    ran = calls(twin)
    assert outcomes(launch(twin, api_url)) == dict.fromkeys(ALL, "Skipped")
    assert calls(twin) == ran


def test_a_changed_parameter_runs_its_stage_and_what_depends_on_it(toy: Path, tmp_path: Path, api_url: str) -> None:
    launch(toy, api_url)
    twin = copy_project(toy, tmp_path / "twin")
    for root in (toy, twin):
        params = (root / "params.yaml").read_text()
        (root / "params.yaml").write_text(params.replace("b: {speed: 2}", "b: {speed: 3}"))
    ended = outcomes(launch(toy, api_url))
    run(twin, sys.executable, "-m", "dvc", "repro")
    assert ended["improve@b"] == "Completed"
    assert ended["improve@a"] == ended["slow"] == ended["data"] == "Skipped"
    assert (toy / "dvc.lock").read_bytes() == (twin / "dvc.lock").read_bytes()


def test_a_failed_stage_stops_what_depends_on_it_and_is_the_last_word(toy: Path, api_url: str) -> None:
    done = launch(toy, api_url, TOY_FAIL="slow")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: stage slow: the toy fails on purpose -> log: .poly-epo/logs/slow.log")
    assert "Traceback" not in done.stderr
    assert "compare" not in calls(toy)
    assert {"a", "b"} <= set(calls(toy))
    ended = outcomes(launch(toy, api_url))
    assert {name for name, state in ended.items() if state == "Completed"} == {"slow", "compare"}


def test_a_stage_killed_from_outside_is_tried_again(toy: Path, api_url: str) -> None:
    ended = outcomes(launch(toy, api_url, TOY_KILL_ONCE="slow", POLY_EPO_RETRY_DELAY="0"))
    assert ended["slow"] == "Completed"
    assert (toy / "killed").exists()


def test_prefect_shows_one_task_per_stage(toy: Path, api_url: str) -> None:
    launch(toy, api_url)
    newest = post(api_url, "flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})[0]
    tasks = post(api_url, "task_runs/filter", {"flow_runs": {"id": {"any_": [newest["id"]]}}})
    assert {task["name"] for task in tasks} == ALL
    assert {task["state_name"] for task in tasks} == {"Completed"}
    assert newest["state_name"] == "Completed"


def start_slow(toy: Path, api_url: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A launched flow whose stage `data` is at work for a minute, and the processes it has started."""
    process = subprocess.Popen(
        launch_argv(),
        cwd=toy,
        env=launch_env(api_url, TOY_SLEEP="60"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = toy / ".poly-epo/logs/data.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "working on data" in log.read_text()):
        assert process.poll() is None, "the flow ended before its stage began"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_the_run(toy: Path, api_url: str, number: signal.Signals) -> None:
    process, children = start_slow(toy, api_url)
    assert any("work.py" in " ".join(child.cmdline()) for child in children)
    process.send_signal(number)
    code = process.wait(30)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    _gone, alive = psutil.wait_procs(children, timeout=15)
    assert not alive
    assert not (toy / "out/data").exists()
    assert outcomes(launch(toy, api_url))["data"] == "Completed"


FAKE_SESSION = """\
import sys, types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Step:
    iteration: int
    name: str
    def __str__(self):
        return f"{self.name}-{self.iteration:06d}"

class Session:
    compute_seconds = 0.0
    def __init__(self, out):
        self.out = out
    @classmethod
    @contextmanager
    def open(cls, params, *, arm, base, problems, out):
        yield cls(out)
    def pending_steps(self):
        return [Step(1, name) for name in ("rollout", "score", "update")]
    def run(self, step):
        from components.errors import PolyEpoError
        if Path("faulty").exists() and step.name == "score":
            raise PolyEpoError("no verdict", where="scoring", remedy="mend the verifier")
        return {"reward_mean": 0.5}
    def finish(self):
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text("trained")

module = types.ModuleType("components.improve.session")
module.Session = Session
sys.modules["components.improve.session"] = module
import components.params
components.params.load_params = lambda path: None
"""


@pytest.fixture
def arm_project(toy: Path) -> Path:
    """The toy with one arm trained by a session that costs nothing."""
    fake = toy / "fake"
    fake.mkdir()
    (fake / "sitecustomize.py").write_text(FAKE_SESSION)
    (toy / "dvc.yaml").write_text(
        "stages:\n  improve-a:\n    cmd: python -m components.improve --arm a --base b --problems p --out out/a\n"
        "    deps: [work.py]\n    outs: [{out/a: {persist: true}}]\n"
    )
    return toy


def test_improve_is_a_subflow_whose_steps_are_tasks(arm_project: Path, api_url: str) -> None:
    done = launch(arm_project, api_url, PYTHONPATH=str(arm_project / "fake"))
    assert outcomes(done) == {"improve-a": "Completed"}
    assert (arm_project / "out/a").read_text() == "trained"
    child, parent = post(api_url, "flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 2})
    tasks = post(api_url, "task_runs/filter", {"flow_runs": {"id": {"any_": [child["id"]]}}})
    assert {task["name"] for task in tasks} == {"rollout-000001", "score-000001", "update-000001"}
    assert child["state_name"] == parent["state_name"] == "Completed"
    above = post(api_url, "task_runs/filter", {"flow_runs": {"id": {"any_": [parent["id"]]}}})
    assert child["parent_task_run_id"] == above[0]["id"]


def test_a_fault_inside_improve_is_the_last_word_of_the_run(arm_project: Path, api_url: str) -> None:
    (arm_project / "faulty").touch()
    done = launch(arm_project, api_url, PYTHONPATH=str(arm_project / "fake"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: stage improve-a: scoring: no verdict -> mend the verifier -> log:"
    )
    child = post(api_url, "flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})[0]
    assert child["state_name"] == "Failed"
