"""Tracking and registry over HTTP: a real `mlflow server` on loopback, a sync that is really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.registry.store import CHAMPION
from components.tracking.params import TrackingParams
from tests.integration.mlflow_server import mlflow_server
from tests.integration.registry.desk import Desk
from tests.integration.test_tracking import Place

pytestmark = [pytest.mark.services, pytest.mark.slow]

CHILD = """
import sys
from pathlib import Path
from tests.integration.test_tracking import Place
Place(Path(sys.argv[1]), sys.argv[2], fresh=False).sync()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def test_a_killed_sync_is_completed_by_the_next_over_http(tmp_path, server, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = Place(tmp_path / "reference", f"sqlite:///{tmp_path}/reference.db")
    reference.fill()
    reference.sync()
    expected = {key: [value for value, _ in rows] for key, rows in reference.rows().items()}

    place = Place(tmp_path / "killed", server)
    place.fill()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for lines in (1, 3):  # further each time: kill once the state file has been saved that often
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(place.root), server], env=environment)
        saves, seen, deadline = 0, None, time.monotonic() + 60
        while child.poll() is None and saves < lines and time.monotonic() < deadline:
            files = list(place.state.glob("*.json"))
            stamp = files[0].stat().st_mtime_ns if files else None
            saves, seen = (saves + 1, stamp) if stamp not in (None, seen) else (saves, seen)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    place.sync()
    assert {key: [value for value, _ in rows] for key, rows in place.rows().items()} == expected
    assert set(place.run_names().values()) == {1}


def test_register_promote_and_refuse_over_http(tmp_path, server):
    desk = Desk(tmp_path, server)
    desk.candidate(0.5, "one")
    assert desk.register().verdict == "promoted"
    desk.candidate(0.45, "two")
    assert desk.register().verdict == "refused"
    assert desk.aliases()[CHAMPION] == 1
    assert desk.params[TrackingParams].uri == server
