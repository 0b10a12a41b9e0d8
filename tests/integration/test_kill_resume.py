"""kill -9 at any moment, run again, and the run ends with the same bytes as one that was never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.improve.small import ARM, contents, document, publish_inputs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ITERATIONS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with params.yaml, base and data."""
    directory = tmp_path_factory.mktemp("kill")
    publish_inputs(directory)
    (directory / "params.yaml").write_text(yaml.safe_dump(document(iterations=ITERATIONS)), encoding="utf-8")
    return directory


def options(place: Path, out: str) -> list[str]:
    return ["--arm", ARM, "--base", str(place / "base"), "--problems", str(place / "data"), "--out", str(place / out)]


def start(place: Path, out: str) -> subprocess.Popen[str]:
    # One thread everywhere: the bytes are promised for a fixed number of threads.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "components.improve", *options(place, out)]
    return subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def straight(place: Path) -> dict[str, bytes]:
    """The files of a run that nothing stopped."""
    finish(start(place, "straight"))
    files = contents(place / "straight")
    history = json.loads(files["history.json"])
    assert len(history["iterations"]) == ITERATIONS
    assert all(row["trained_share"] > 0 for row in history["iterations"])
    return files


def kill_once(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_the_command_killed_at_chosen_steps_resumes_bit_for_bit(place: Path, straight: dict[str, bytes]) -> None:
    out = place / "chosen"
    moments: list[Callable[[], bool]] = [
        # The first update is at work, or about to be.
        (out / "iterations/000001/gate/manifest.json").exists,
        # The policy of iteration 3 is being written, or its optimizer and metrics are.
        lambda: (out / "policies/.000003.tmp").exists() or (out / "policies/000003").exists(),
    ]
    for moment in moments:
        kill_once(start(place, "chosen"), moment)
    finish(start(place, "chosen"))
    assert contents(out) == straight


def test_a_second_process_on_the_same_workspace_is_refused(place: Path) -> None:
    out = place / "twice"
    first = start(place, "twice")
    while not (out / "origin.json").exists():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.0005)
    # Stopped, it holds its lock for as long as the second one needs.
    first.send_signal(signal.SIGSTOP)
    second = start(place, "twice")
    _, errors = second.communicate(timeout=120)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert errors == f"error: {out}: another process is training here -> wait for it to end, or stop it\n"


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys
import components.evaluation.measure, components.improve.session, components.rollout.transformers_engine
import great_expectations
from components.command import run_command
from components.improve.__main__ import main

# Everything is imported; each run is a fork, killed by itself at a random call that changes the workspace.
out, seed = sys.argv[sys.argv.index("--out") + 1], int(sys.argv.pop())
draw = random.Random(seed)
WATCHED = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "shutil.rmtree"}
for attempt in range(1000):
    kill_at = draw.randint(20, 90)
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            global count
            writes = event in WATCHED or (event == "open" and arguments[1] == "w")
            if writes and out in str(arguments[0]):
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        run_command(main)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        assert os.waitstatus_to_exitcode(status) == 0, status
        print(attempt)
        break
"""


def test_killed_again_and_again_at_random_calls_it_ends_bit_for_bit(place: Path, straight: dict[str, bytes]) -> None:
    out, seed = "random", 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, *options(place, out), str(seed)]
    result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    kills = int(result.stdout.splitlines()[-1])
    assert kills >= 3
    assert contents(place / out) == straight
