"""Two promotions at once, and promotions that are really killed: processes of their own, on both kinds of store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS
from tests.integration.mlflow_server import mlflow_server
from tests.integration.registry.desk import Desk
from tests.unit.tracking import synthetic

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

# Waits with its decision made until the other process has made its own, too.
RIVAL = """
import sys, time
from pathlib import Path
from components.registry.ledger import Ledger
from tests.integration.registry.desk import Desk
root, uri, model, meeting = sys.argv[1:]
real = Ledger.append
def append(self, move, length):
    (Path(meeting) / Path(root).name).touch()
    while len(list(Path(meeting).iterdir())) < 2:
        time.sleep(0.01)
    return real(self, move, length)
Ledger.append = append
print(Desk(Path(root), uri, model=model, fresh=False).register().verdict)
"""

# Stops for good right before the named step of its promotion.
STUCK = """
import sys, time
from pathlib import Path
from components.registry.ledger import Ledger
from components.registry.store import Models
from tests.integration.registry.desk import Desk
root, uri, model, step, reached = sys.argv[1:]
def stop_before(kind, name, matches):
    real = getattr(kind, name)
    def stopping(self, *args):
        if matches(args):
            Path(reached).touch()
            time.sleep(600)
        return real(self, *args)
    setattr(kind, name, stopping)
if step == "append":
    stop_before(Ledger, "append", lambda args: True)
else:
    stop_before(Models, "move", lambda args: args[0] == step)
Desk(Path(root), uri, model=model, fresh=False).register()
"""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("server", marks=pytest.mark.services)])
def uri(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        yield synthetic.new_database(root)
    else:
        with mlflow_server(root) as address:
            yield address


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_promotions_at_once_cannot_both_win(tmp_path, uri):
    model = f"race {tmp_path.name}"
    first = Desk(tmp_path / "first", uri, model=model)
    first.candidate(0.3, "old champion")
    first.register()
    rivals = {name: Desk(tmp_path / name, uri, model=model) for name in ("good", "better")}
    rivals["good"].candidate(0.5, "good")
    rivals["better"].candidate(0.8, "better")
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    processes = {name: start(RIVAL, desk.root, uri, model, meeting) for name, desk in rivals.items()}
    outputs = {name: process.communicate(timeout=240)[0].split()[-1] for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0]

    moves = first.ledger.moves()
    assert [move.previous for move in moves] == [0, *(move.champion for move in moves[:-1])]  # one after the other
    numbers = {name: first.models.get(rivals[name].document_policy()).number for name in rivals}
    aliases = first.aliases()
    assert aliases[CHAMPION] == moves[-1].champion == numbers["better"]
    if len(moves) == 2:  # the better one was first: the good one was then held against it
        assert outputs == {"good": "refused", "better": "promoted"}
        assert aliases == {CHAMPION: numbers["better"], PREVIOUS: 1, CHALLENGER: numbers["good"]}
    else:  # the good one was first: the better one was judged anew, against it
        assert outputs == {"good": "promoted", "better": "promoted"}
        assert aliases == {CHAMPION: numbers["better"], PREVIOUS: numbers["good"]}


@pytest.mark.parametrize("step", ["append", PREVIOUS, CHAMPION])
def test_a_promotion_killed_half_way_leaves_the_old_champion(tmp_path, uri, step):
    model = f"kill {tmp_path.name}"
    desk = Desk(tmp_path / "desk", uri, model=model)
    desk.candidate(0.3, "old")
    desk.register()
    desk.candidate(0.8, "new")
    reached = tmp_path / "reached"
    process = start(STUCK, desk.root, uri, model, step, reached)
    deadline = time.monotonic() + 120
    while not reached.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert desk.aliases()[CHAMPION] == 1
    assert desk.register().verdict == "promoted"
    assert desk.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert [move.champion for move in desk.ledger.moves()] == [1, 2]
