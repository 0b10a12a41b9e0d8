"""Shared by all tests: hypothesis draws the same cases in every run, and one tiny policy to load."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published policy directory of version 0; not to be changed by a test."""
    # torch and transformers take seconds to import: only tests that use them pay.
    from tests.tiny import publish_policy

    return publish_policy(tmp_path_factory.mktemp("policies") / "000000", seed=0)
