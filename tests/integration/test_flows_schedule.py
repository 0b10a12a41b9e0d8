"""The scheduled retrain on a real server: prefect.yaml applied, and a process worker that runs it."""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.deployments import DEPLOYMENT, GPU_LIMIT, MANUAL, apply_deployments, start_worker
from flows.server import PrefectServer
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


def call(api_url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer of Prefect's API: GET without a body, POST with one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api_url}/{path}", data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_everything_is_applied_once_and_a_worker_runs_a_retrain(served: tuple[Path, str]) -> None:
    root, api_url = served
    apply_deployments(root, api_url)
    apply_deployments(root, api_url)  # again: nothing is doubled
    deployment = call(api_url, f"deployments/name/{DEPLOYMENT}")
    assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == ["0 3 * * *"]
    assert deployment["global_concurrency_limit"]["limit"] == 1

    assert call(api_url, f"v2/concurrency_limits/{GPU_LIMIT}")["limit"] == 1
    names = [automation["name"] for automation in call(api_url, "automations/filter", {})]
    assert names == ["poly-epo: crashed runs"]

    manual = call(api_url, f"deployments/name/{MANUAL[0]}")
    flow_run = call(api_url, f"deployments/{manual['id']}/create_flow_run", {})
    worker = start_worker(root, api_url)
    try:
        deadline = time.monotonic() + 180
        while (state := call(api_url, f"flow_runs/{flow_run['id']}")["state"]["type"]) not in (
            "COMPLETED",
            "FAILED",
            "CRASHED",
        ):
            assert time.monotonic() < deadline, state
            assert worker.poll() is None
            time.sleep(0.5)
    finally:
        worker.terminate()
        worker.wait(30)
    assert state == "COMPLETED"
    assert sorted(calls(root)) == ["a", "b", "compare", "data", "slow"]
