"""One run with Prefect on Postgres, MLflow on Postgres and S3 behind a login, and DVC's remote on S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Checkout
from tests.integration.backends.conftest import commit, files_below
from tests.services.http import status
from tests.services.mlflow import LOGIN
from tests.services.stack import Stack

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(1500)]

SHARED = ("workspace/data", "workspace/base", "workspace/improve", "workspace/evaluation", "reports/comparison")


@pytest.fixture(scope="module")
def ran(stack: Stack, make_small: Callable[..., Checkout]) -> tuple[Checkout, str]:
    """A checkout that used the whole stack, and what the run printed."""
    checkout = make_small("team", **stack.environment())
    checkout.run("dvc", "remote", "add", "-d", "team", "s3://dvc-remote/poly-epo")
    commit(checkout, "remote")
    return checkout, checkout.run("poly-epo", "run").stdout


def test_prefect_kept_the_run_in_postgres(stack: Stack, ran: tuple[Checkout, str]) -> None:
    states = stack.postgres.query("prefect", "select name, state_type from flow_run order by name").split()
    assert [line.partition("|")[2] for line in states] == ["COMPLETED"] * 3
    assert {line.partition("|")[0] for line in states} > {"improve@grpo", "improve@poly_epo"}
    tasks = stack.postgres.query("prefect", "select count(*) from task_run where name like 'rollout-%'")
    assert int(tasks) == 4  # two arms, two iterations
    assert "warning" not in ran[1]


def test_mlflow_keeps_runs_in_postgres_and_files_in_s3_and_asks_who_one_is(
    stack: Stack, ran: tuple[Checkout, str]
) -> None:
    names = stack.postgres.query("mlflow", "select name, status from runs order by name").splitlines()
    assert [line.split()[0] for line in names] == [
        "arm",
        "arm",
        "evaluation",
        "evaluation",
        "evaluation",
        "poly-epo",
        "retrain",
    ]
    assert all(line.endswith("FINISHED") for line in names if not line.startswith("poly-epo"))
    losses = stack.postgres.query(
        "mlflow", "select count(*), count(distinct (run_uuid, step)) from metrics where key = 'loss'"
    )
    assert losses.strip() == "4|4"
    assert any(key.endswith("model.safetensors") for key in stack.s3.keys("mlflow"))
    search = f"{stack.mlflow.url}/api/2.0/mlflow/experiments/search?max_results=3"
    assert (status(search), status(search, ("trainer", "wrong")), status(search, LOGIN)) == (401, 401, 200)
    assert "champion" in ran[0].run("poly-epo", "models", "list").stdout


def test_another_machine_gets_the_same_data_and_models_and_has_nothing_to_do(
    stack: Stack, ran: tuple[Checkout, str], tmp_path: Path
) -> None:
    checkout, _ = ran
    commit(checkout, "ran")
    elsewhere = Checkout(tmp_path / "clone", extra=stack.environment())
    checkout.run("git", "clone", "-q", str(checkout.root), str(elsewhere.root))
    elsewhere.run("dvc", "pull")
    for directory in SHARED:
        assert files_below(elsewhere.root / directory) == files_below(checkout.root / directory), directory
    assert "10 stages: 10 up to date, 0 done" in elsewhere.run("poly-epo", "run").stdout


def test_no_secret_is_in_a_log_or_in_the_stores(stack: Stack, ran: tuple[Checkout, str]) -> None:
    checkout, printed = ran
    secrets = [LOGIN[1].encode(), stack.s3.secret_key.encode() + b'"']
    logs = list((checkout.root / ".poly-epo").rglob("*.log")) + list((checkout.root / ".poly-epo").rglob("*.json"))
    assert logs
    for text in [printed.encode(), *(path.read_bytes() for path in logs)]:
        assert not any(secret in text for secret in secrets)
    for table in ("params", "tags"):
        assert LOGIN[1] not in stack.postgres.query("mlflow", f"select * from {table}")
    assert LOGIN[1] not in stack.postgres.query("prefect", "select message from log")


def test_a_directory_as_remote_serves_a_clone_as_well(
    ran: tuple[Checkout, str], make_small: Callable[..., Checkout], tmp_path: Path
) -> None:
    checkout = make_small("directory")
    checkout.run("dvc", "remote", "add", "-d", "disk", str(tmp_path / "remote"))
    checkout.run("poly-epo", "run")
    commit(checkout, "ran")
    elsewhere = Checkout(tmp_path / "clone")
    checkout.run("git", "clone", "-q", str(checkout.root), str(elsewhere.root))
    elsewhere.run("dvc", "pull")
    # Elsewhere, with other servers, the same parameters give the same bytes.
    assert files_below(elsewhere.root / "workspace/improve/poly_epo/final") == files_below(
        ran[0].root / "workspace/improve/poly_epo/final"
    )
