"""MLflow's database is whole or is not there: real kills while it is being made."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.tracking.client import connect
from components.tracking.database import make_database
from components.tracking.params import TrackingParams

MAKE = """
import pathlib, sys
from components.tracking.database import make_database
make_database(pathlib.Path(sys.argv[1]))
"""


def start(database: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MAKE, str(database)])


def usable(database: Path) -> bool:
    store = connect(TrackingParams(uri=f"sqlite:///{database}", experiment="after"))
    run = store.create_run("run", {}, 0)
    return store.is_active(run)


@pytest.mark.parametrize("tables", [1, 30])
def test_a_kill_while_the_schema_is_made_leaves_nothing_in_the_way(tmp_path: Path, tables: int) -> None:
    database = tmp_path / "mlflow.db"
    process = start(database)
    unfinished = tmp_path / ".mlflow.db.new"
    while not unfinished.exists() or unfinished.stat().st_size < 4096 * tables:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert unfinished.exists()
    assert not database.exists()
    assert usable(database)
    assert not list(tmp_path.glob(".mlflow.db.new*"))


def test_two_at_once_make_one(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    processes = [start(database), start(database)]
    assert [process.wait() for process in processes] == [0, 0]
    assert usable(database)


def test_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"somebody's")
    make_database(database)
    assert database.read_bytes() == b"somebody's"
