"""Tests of what only a GPU runs: `make test-gpu`, or `python3 -m pytest -m gpu tests/gpu` on a host without .venv."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: torch.cuda.is_available() is false")
