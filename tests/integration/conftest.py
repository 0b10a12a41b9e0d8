"""What several integration tests ask of the machine."""

from __future__ import annotations

import os

import pytest

from components.errors import PolyEpoError
from components.rollout.vllm_environment import find_environment


@pytest.fixture(scope="session")
def vllm_environment() -> None:
    """vLLM's own environment. Without it: skipped, in CI (CI=true) failed."""
    try:
        find_environment()
    except PolyEpoError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.line())
