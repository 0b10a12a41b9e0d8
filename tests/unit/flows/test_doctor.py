"""`poly-epo doctor`: every fault with its remedy, and no secret in what it says."""

import shutil
from pathlib import Path

import pytest

from flows import doctor
from flows.doctor import Finding, examine
from tests.unit.flows.toy import REPOSITORY, make_project, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with this project's parameters and pins."""
    project = make_project(tmp_path / "project")
    for name in ("params.yaml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, project)
    return project


def finding(root: Path, name: str, **environment: str) -> Finding:
    return next(found for found in examine(root, environment) if found.name == name)


def test_a_healthy_project_has_no_fault_but_what_the_machine_lacks(root: Path) -> None:
    faults = [found for found in examine(root, {}) if found.fault and found.name not in ("disk", "memory", "GPU")]
    assert faults == []


def test_a_missing_package_a_bad_parameter_and_a_full_disk_are_faults(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_DISK_GIB", 1e9)
    (root / "constraints.txt").write_text((root / "constraints.txt").read_text().replace("\ndvc==", "\ndvc==999."))
    (root / "params.yaml").write_text("nonsense: {}\n")
    found = {item.name: item for item in examine(root, {})}
    assert "dvc 3" in found["packages"].said
    assert found["packages"].remedy == "`make setup`"
    assert "unknown section" in found["parameters"].said
    assert found["disk"].fault
    assert "prune" in found["disk"].remedy


def test_servers_that_do_not_answer_are_faults_without_their_secrets(root: Path) -> None:
    login = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "hush"}
    mlflow = finding(root, "MLflow", MLFLOW_TRACKING_URI="http://127.0.0.1:9", **login)
    prefect = finding(root, "Prefect", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert mlflow.fault
    assert prefect.fault
    assert "hush" not in mlflow.said + mlflow.remedy


def test_a_remote_is_looked_at(root: Path, tmp_path: Path) -> None:
    assert "no default remote" in finding(root, "DVC").said
    run(root, "dvc", "remote", "add", "-d", "disk", str(tmp_path / "remote"))
    assert finding(root, "DVC").said == "remote 'disk' answers"
