"""Settings of the flows come from the environment and are checked."""

import os
from pathlib import Path

import pytest
import yaml

from components.errors import PolyEpoError
from flows.settings import HEARTBEAT_SECONDS, FlowSettings, prefect_client_env, prefect_server_env


def test_defaults() -> None:
    settings = FlowSettings.from_environment({})
    assert settings == FlowSettings()
    assert settings.jobs == len(os.sched_getaffinity(0))


def test_environment_overrides() -> None:
    environment = {"POLY_EPO_RETRIES": "3", "POLY_EPO_RETRY_DELAY": "0.5", "POLY_EPO_JOBS": "7", "POLY_EPO_RUNNER": "x"}
    assert FlowSettings.from_environment(environment) == FlowSettings(retries=3, retry_delay=0.5, jobs=7, runner="x")


@pytest.mark.parametrize("text", ["-1", "many", "inf", "nan"])
def test_a_bad_number_names_its_variable(text: str) -> None:
    with pytest.raises(PolyEpoError, match="POLY_EPO_RETRIES: must be a number"):
        FlowSettings.from_environment({"POLY_EPO_RETRIES": text})


def test_a_run_needs_no_schedules_and_a_served_project_does() -> None:
    scheduler = "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED"
    assert prefect_server_env(Path("/p"), 1)[scheduler] == "false"
    assert scheduler not in prefect_server_env(Path("/p"), 1, schedules=True)


def test_telemetry_is_off_and_state_stays_in_the_project() -> None:
    for environment in (prefect_server_env(Path("/p"), 1), prefect_client_env(Path("/p"), "http://127.0.0.1:1/api")):
        assert environment["DO_NOT_TRACK"] == "1"
        assert environment["PREFECT_HOME"] == "/p/.poly-epo/prefect"


def test_every_deployment_gives_signs_of_life_whatever_its_worker_was_told() -> None:
    declared = yaml.safe_load((Path(__file__).parents[3] / "prefect.yaml").read_text())
    client = prefect_client_env(Path(), "http://127.0.0.1/api")
    for deployment in declared["deployments"]:
        env = deployment["work_pool"]["job_variables"]["env"]
        assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
        assert env.items() <= client.items()
