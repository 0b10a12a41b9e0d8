"""The images are built by the real engine and run the pipeline: the same bytes as a run without containers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Checkout, make_checkout
from tests.integration.backends.conftest import PROFILE
from tests.integration.docker.conftest import docker

__all__ = ["make_checkout"]

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def images() -> dict[str, dict[str, object]]:
    """Facts of poly-epo/train and poly-epo/cpu, built from this checkout."""
    subprocess.run([ROOT / "docker" / "build.sh", "train", "cpu"], check=True)
    return {name: json.loads(docker("image", "inspect", f"poly-epo/{name}"))[0] for name in ("train", "cpu")}


@pytest.fixture(scope="module")
def small(make_checkout: Callable[[str], Checkout]) -> Callable[[str], Checkout]:
    def make(name: str) -> Checkout:
        checkout = make_checkout(name)
        (checkout.root / "profiles" / "small.yaml").write_text(PROFILE)
        checkout.run("poly-epo", "profile", "apply", "small")
        return checkout

    return make


@pytest.mark.parametrize("name", ["train", "cpu"])
def test_images_are_labelled_and_not_root(images: dict[str, dict[str, object]], name: str) -> None:
    config = images[name]["Config"]
    assert isinstance(config, dict)
    assert config["User"] == "65534:65534"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert config["Labels"]["org.opencontainers.image.revision"].startswith(commit)
    assert len(config["Labels"]["poly-epo.lock"]) == 64


@pytest.mark.parametrize("name", ["train", "cpu"])
def test_nothing_of_this_machine_is_in_an_image(images: dict[str, dict[str, object]], name: str) -> None:
    assert (
        docker("run", "--rm", f"poly-epo/{name}", "sh", "-c", "ls /source /wheels /opt/venv/pip.conf 2>/dev/null; true")
        == ""
    )
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", f"poly-epo/{name}")
    assert "://" not in history
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
