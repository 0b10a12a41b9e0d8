"""The images are built by the real engine and run the pipeline: the same bytes as a run without containers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.policy.load import load_model
from components.rollout.engine import get_engine
from components.rollout.params import RolloutParams
from tests.e2e.conftest import Checkout, make_checkout
from tests.integration.backends.conftest import PROFILE
from tests.integration.docker.conftest import docker
from tests.services.process import free_ports
from tests.tiny import problems, publish_policy
from tests.unit.training.reference import sequence_logprobs

__all__ = ["make_checkout"]

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("train", "cpu", "rollout")
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def images() -> dict[str, dict[str, object]]:
    """Facts of the images, built from this checkout."""
    subprocess.run([ROOT / "docker" / "build.sh", *NAMES], check=True)
    return {name: json.loads(docker("image", "inspect", f"poly-epo/{name}"))[0] for name in NAMES}


@pytest.fixture(scope="module")
def small(make_checkout: Callable[[str], Checkout]) -> Callable[[str], Checkout]:
    def make(name: str) -> Checkout:
        checkout = make_checkout(name)
        (checkout.root / "profiles" / "small.yaml").write_text(PROFILE)
        checkout.run("poly-epo", "profile", "apply", "small")
        return checkout

    return make


@pytest.mark.parametrize("name", NAMES)
def test_images_are_labelled_and_not_root(images: dict[str, dict[str, object]], name: str) -> None:
    config = images[name]["Config"]
    assert isinstance(config, dict)
    assert config["User"] == "65534:65534"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert config["Labels"]["org.opencontainers.image.revision"].startswith(commit)
    assert len(config["Labels"]["poly-epo.lock"]) == 64


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_this_machine_is_in_an_image(images: dict[str, dict[str, object]], name: str) -> None:
    listed = "ls /source /wheels /opt/venv/pip.conf 2>/dev/null; true"
    assert docker("run", "--rm", "--entrypoint", "sh", f"poly-epo/{name}", "-c", listed) == ""
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", f"poly-epo/{name}")
    assert "://" not in history.replace("http://127.0.0.1", "its own address")
    # Neither where pip finds packages here: those places are configured outside of the project.
    configured = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    assert not [word for word in re.findall(r"/[\w./-]{4,}", configured) if word in history]


def test_a_run_in_containers_gives_the_same_lock_as_one_without(
    images: dict[str, dict[str, object]], small: Callable[[str], Checkout]
) -> None:
    without, within = small("local"), small("docker")
    without.run("dvc", "repro")
    within.run("poly-epo", "run", "--runner", "docker")
    locks = [yaml.safe_load((checkout.root / "dvc.lock").read_text()) for checkout in (without, within)]
    assert locks[0] == locks[1]
    assert within.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    log = (within.root / ".poly-epo" / "logs" / "improve-poly_epo.log").read_text()
    assert "iteration 2 update" in log
    assert docker("ps", "--all", "--quiet", "--filter", f"label=poly-epo.root={within.root}") == ""


@pytest.fixture
def server(images: dict[str, dict[str, object]], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A rollout server in its container on the policy ``tmp_path / "000000"``: the container and its address."""
    publish_policy(tmp_path / "000000", seed=0, hidden_size=64)
    (port,) = free_ports(1)
    locked = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp:exec"]
    mounted = ["--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{tmp_path}:{tmp_path}:ro"]
    setting = ["--network", "host", "--shm-size", "1g", "--env", f"PORT={port}", "--env", "VLLM_CPU_KVCACHE_SPACE=1"]
    model = ["--model", str(tmp_path / "000000"), "--max-model-len", "64"]
    container = docker("run", "--detach", *locked, *mounted, *setting, "poly-epo/rollout", *model)
    yield container, f"http://127.0.0.1:{port}"
    docker("rm", "--force", container)


def test_the_rollout_image_samples_and_takes_a_policy_in_place(server: tuple[str, str], tmp_path: Path) -> None:
    container, url = server
    deadline = time.monotonic() + 300
    while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
        assert docker("inspect", "--format", "{{.State.Running}}", container) == "true", docker("logs", container)
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(1)
    params = {"engine": "vllm", "max_new_tokens": 16, "vllm": {"urls": [url]}}
    engine = get_engine(RolloutParams.model_validate(params), state=tmp_path / "state", owner="arm")
    policies = [tmp_path / "000000", publish_policy(tmp_path / "000001", seed=1, hidden_size=64)]
    for version, policy in enumerate(policies):
        engine.load_policy(policy, version)
        table = engine.sample(problems(["1+1=", "(2,3)"]), group_size=4, seed=version)
        assert set(table["policy_version"].to_pylist()) == {version}
        assert len(table) == 8
        for row in table.to_pylist():
            exact = sequence_logprobs(load_model(policy).eval(), row["prompt_ids"], row["completion_ids"])
            np.testing.assert_allclose(row["rollout_logprobs"], exact.detach().numpy(), atol=1e-3)
