"""The service for real: a schedule fires, a worker retrains on a file that changes, promotes, and is rolled back."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.domains.polynomial import polynomial_prompt, relation_metadata
from flows.deployments import DEPLOYMENT, GPU_LIMIT, MANUAL, start_worker
from tests.e2e.conftest import Checkout
from tests.integration.backends.conftest import commit
from tests.services.api import PrefectApi
from tests.services.stack import Stack
from tests.services.webhook import Inbox, receiving

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(1500)]

FILE_SOURCE = """\
data: {source: {kind: file, path: problems.jsonl, domain: polynomial}, test: 30, validation: 8, max_train: 16}
policy: {warm_start: null}
"""


def write_problems(path: Path, shift: int) -> None:
    """Problems of the polynomial domain; another ``shift``, other problems."""
    rows = [
        {
            "prompt": polynomial_prompt(b, c),
            "answer": polynomial_prompt(b, c)[:-1],
            "metadata": relation_metadata(b, c, 9),
            "domain": "polynomial",
        }
        for b in range(-4, 4)
        for c in range(shift, shift + 8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Service:
    """One deployed project with a worker."""

    def __init__(self, checkout: Checkout, api: PrefectApi, inbox: Inbox) -> None:
        self.checkout, self.api, self.inbox = checkout, api, inbox

    def renewed(self, text: str, limit_seconds: float = 600) -> dict[str, Any]:
        """The first scheduled run, once it has ended, whose report says ``text``."""
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            for artifact in self.api.post("artifacts/filter", {"artifacts": {"key": {"any_": ["retrain"]}}}):
                if text in artifact["data"]:
                    return self.api.wait(artifact["flow_run_id"], 120)
            failed = [run["state"] for run in self.api.runs("renew") if run["state"]["type"] in ("FAILED", "CRASHED")]
            assert not failed, failed
            time.sleep(1)
        raise AssertionError(f"no run said {text!r}")

    def champion(self) -> str:
        """The line of the champion in the list of versions."""
        lines = self.checkout.run("poly-epo", "models", "list").stdout.splitlines()
        return next(line for line in lines if "champion" in line)

    def end_schedule(self) -> None:
        """No more scheduled runs, nor those that a slow machine is late with."""
        deployment = self.api.get(f"deployments/name/{DEPLOYMENT}")
        self.api.patch(f"deployments/{deployment['id']}", {"paused": True})
        for run in self.api.waiting("renew"):
            self.api.delete(f"flow_runs/{run['id']}")

    def heard(self, text: str) -> None:
        """Wait for a notification."""
        deadline = time.monotonic() + 60
        while not any(text in told for told in self.inbox.texts):
            assert time.monotonic() < deadline, self.inbox.texts
            time.sleep(0.5)


@pytest.fixture(scope="module")
def service(stack: Stack, make_small: Callable[..., Checkout]) -> Iterator[Service]:
    with receiving() as inbox:
        checkout = make_small("service", **stack.environment(), POLY_EPO_WEBHOOK_URL=inbox.url)
        write_problems(checkout.root / "problems.jsonl", 0)
        (checkout.root / "profiles" / "file.yaml").write_text(FILE_SOURCE)
        checkout.run("poly-epo", "profile", "apply", "file")
        # Every minute: the same kind of schedule as every night.
        prefect_yaml = checkout.root / "prefect.yaml"
        prefect_yaml.write_text(prefect_yaml.read_text().replace('"0 3 * * *"', '"* * * * *"'))
        commit(checkout, "file source")
        first, again = (checkout.run("poly-epo", "deploy", "--gpus", "2").stdout for _ in range(2))
        assert first == again
        assert inbox.url not in first
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", os.environ.copy())
            os.environ.update(checkout.env() | {"POLY_EPO_GPU_LIMIT": GPU_LIMIT})
            worker = start_worker(checkout.root, stack.prefect.api_url)
        try:
            yield Service(checkout, PrefectApi(stack.prefect.api_url), inbox)
        finally:
            worker.terminate()
            worker.wait()


def test_everything_is_there_once(service: Service) -> None:
    names = [(deployment["name"]) for deployment in service.api.post("deployments/filter", {})]
    assert sorted(names) == sorted(name.partition("/")[2] for name in (DEPLOYMENT, *MANUAL))
    nightly = service.api.get(f"deployments/name/{DEPLOYMENT}")
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    limit = service.api.get(f"v2/concurrency_limits/{GPU_LIMIT}")
    assert limit["limit"] == 2
    automations = [automation["name"] for automation in service.api.post("automations/filter", {})]
    assert sorted(automations) == ["poly-epo: crashed runs", "poly-epo: failures", "poly-epo: news"]


@pytest.fixture(scope="module")
def dead_run(service: Service) -> str:
    """A flow run that was heard of once and never again."""
    flow = service.api.post("flows/", {"name": "dead"})
    run = service.api.post("flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})
    event = {
        "event": "prefect.flow-run.heartbeat",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        "id": str(uuid.uuid4()),
    }
    service.api.post("events", [event])
    return str(run["id"])


def test_bad_parameters_are_refused_by_the_server(service: Service) -> None:
    for deployment, parameters in ((DEPLOYMENT, {"start": "elsewhere"}), ("promote/manual", {"version": "; rm"})):
        with pytest.raises(OSError, match=r"409|422"):
            service.api.start(deployment, parameters)


def test_the_schedule_fires_and_the_first_policy_is_promoted(service: Service, dead_run: str) -> None:
    run = service.renewed("there are no data yet".capitalize())
    assert run["state"]["type"] == "COMPLETED"
    assert run["created_by"] is None or "schedule" in json.dumps(run["created_by"]).lower() or run["auto_scheduled"]
    assert service.champion().split()[0] == "1"
    service.heard("promoted")


def test_nothing_new_ends_in_seconds_and_says_so(service: Service) -> None:
    run = service.renewed("Nothing changed")
    assert run["state"]["type"] == "COMPLETED"
    assert run["total_run_time"] < 60


def test_a_changed_file_is_a_new_version_that_is_promoted_against_the_champion(service: Service) -> None:
    write_problems(service.checkout.root / "problems.jsonl", 3)
    run = service.renewed("The data changed")
    service.end_schedule()
    assert run["state"]["type"] == "COMPLETED"
    artifacts = service.api.post("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    assert {artifact["key"] for artifact in artifacts} == {"retrain", "comparison", "mlflow"}
    report = next(artifact["data"] for artifact in artifacts if artifact["key"] == "retrain")
    # Judged against the champion on the new problems, though it was registered with the old ones.
    assert "against the champion" in report
    assert "| same problems |  |  |  |  |  | yes |" in report
    assert "data:image/png;base64," in report
    assert service.champion().split()[0] == "2"
    table = next(artifact["data"] for artifact in artifacts if artifact["key"] == "comparison")
    assert "champion" in {row["model"] for row in json.loads(table)}


def test_it_is_rolled_back_and_promoted_again_by_hand(service: Service) -> None:
    assert service.api.wait(service.api.start("rollback/manual"), 300)["state"]["type"] == "COMPLETED"
    assert service.champion().split()[0] == "1"
    service.heard("version 1 is champion again")
    assert service.api.wait(service.api.start("promote/manual", {"version": "2"}), 300)["state"]["type"] == "COMPLETED"
    assert service.champion().split()[0] == "2"


def test_a_model_is_evaluated_on_request(service: Service) -> None:
    run = service.api.wait(service.api.start("evaluate/manual", {"samples": 32}), 300)
    assert run["state"]["type"] == "COMPLETED"


def test_a_failure_is_told(service: Service) -> None:
    run = service.api.wait(service.api.start("promote/manual", {"version": "77"}), 300)
    assert run["state"]["type"] == "FAILED"
    service.heard("of promote ended as Failed")


def test_a_run_without_heartbeats_is_found_dead(service: Service, dead_run: str) -> None:
    run = service.api.wait(dead_run, 300)
    assert run["state"]["type"] == "CRASHED"
    assert "no heartbeat" in run["state"]["message"]


def test_the_webhooks_address_is_in_no_log_and_no_answer(service: Service, stack: Stack) -> None:
    path = service.inbox.url.rpartition("/")[2]
    assert path not in stack.postgres.query("prefect", "select message from log")
    for log in (service.checkout.root / ".poly-epo").rglob("*.log"):
        assert path not in log.read_text(errors="replace")
    documents = service.api.post("block_documents/filter", {})
    assert documents
    assert path not in json.dumps(documents)
