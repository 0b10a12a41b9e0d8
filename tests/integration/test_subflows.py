"""A subflow's run on a real server, below a task run that the server has not recorded."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import subflows
from flows.server import PrefectServer
from flows.subflows import create_subflow_run
from tests.services.api import PrefectApi
from tests.unit.flows.toy import make_project

pytestmark = pytest.mark.slow


@flow
def below(number: int) -> None:
    """Nothing."""


def test_a_parent_that_is_not_recorded_costs_the_link_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(subflows, "_WAIT_SECONDS", 0.05)
    root = make_project(tmp_path / "toy")
    server = PrefectServer.start(root, environment=os.environ)
    try:
        server.wait()
        notes: list[str] = []
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            made = create_subflow_run(below, name="arm", parameters={"number": 3}, parent=uuid4(), note=notes.append)
        run = PrefectApi(server.api_url).get(f"flow_runs/{made}")
    finally:
        server.stop()
    (note,) = notes
    assert "records no task runs" in note
    assert (run["name"], run["parameters"], run["parent_task_run_id"]) == ("arm", {"number": 3}, None)
