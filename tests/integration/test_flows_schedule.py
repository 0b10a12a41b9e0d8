"""The scheduled retrain on a real server: prefect.yaml applied, and a process worker that runs it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.deployments import DEPLOYMENT, GPU_LIMIT, MANUAL, apply_deployments, start_worker
from flows.server import PrefectServer
from tests.services.api import PrefectApi
from tests.unit.flows.toy import REPOSITORY, calls, make_project

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """The toy project with this project's prefect.yaml and flows, and its own server with schedules."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    root = make_project(tmp_path / "toy")
    shutil.copy(REPOSITORY / "prefect.yaml", root)
    for package in ("flows", "components"):
        (root / package).symlink_to(REPOSITORY / package)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    server = PrefectServer.start(root, environment=os.environ, schedules=True)
    try:
        server.wait()
        yield root, server.api_url
    finally:
        server.stop()


def test_everything_is_applied_once_and_a_worker_runs_a_retrain(served: tuple[Path, str]) -> None:
    root, api_url = served
    api = PrefectApi(api_url)
    apply_deployments(root, api_url)
    apply_deployments(root, api_url)  # again: nothing is doubled
    deployment = api.get(f"deployments/name/{DEPLOYMENT}")
    assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == ["0 3 * * *"]
    assert deployment["global_concurrency_limit"]["limit"] == 1

    assert api.get(f"v2/concurrency_limits/{GPU_LIMIT}")["limit"] == 1
    names = [automation["name"] for automation in api.post("automations/filter", {})]
    assert names == ["poly-epo: crashed runs"]

    flow_run = api.start(MANUAL[0])
    worker = start_worker(root, api_url)
    try:
        ended = api.wait(flow_run, 480)
    finally:
        worker.terminate()
        worker.wait(30)
    assert ended["state"]["type"] == "COMPLETED"
    assert sorted(calls(root)) == ["a", "b", "compare", "data", "slow"]
