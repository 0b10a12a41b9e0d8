"""The real Docker engine. Without one these tests are skipped on a laptop and fail in CI."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

BASE = os.environ.get("POLY_EPO_BASE_IMAGE", "python:3.11.14-slim-bookworm")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    answers = (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )
    if not answers and os.environ.get("CI") == "true":
        pytest.fail("no Docker engine answers: tests/services/docker.sh brings one up")
    if not answers:
        pytest.skip("no Docker engine answers")


@pytest.fixture(scope="session")
def base_image(engine: None) -> str:
    """An image with Python alone: enough for everything about containers that is not about packages."""
    if subprocess.run(["docker", "image", "inspect", BASE], capture_output=True).returncode:
        docker("pull", "--quiet", BASE)
    return BASE
