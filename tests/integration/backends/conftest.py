"""The team's back ends, and checkouts small enough to be run several times."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Checkout, make_checkout
from tests.services.process import Missing
from tests.services.stack import Stack, running

__all__ = ["make_checkout"]

PROFILE = """\
data: {test: 30, validation: 16, max_train: 32, demonstrations: {per_problem: 4}}
policy:
  source: {kind: tiny, hidden_size: 16, layers: 1, heads: 2}
  warm_start: {steps: 20, prompts_per_step: 8, completions_per_prompt: 4, warmup_steps: 2}
improve:
  iterations: 2
  prompts_per_iteration: 4
  group_size: 4
  minibatches: 1
  evaluate_every: 2
  evaluation_samples: 4
arms:
  poly_epo:
    objective: {name: poly_epo, set_size: 2, require_two_clusters: true}
evaluation:
  samples: 32
  ks: [1, 8, 32]
  majority_ks: [8]
  majority_draws: 20
  distinct_samples: 32
  bootstrap_draws: 100
registry:
  gate:
    margins: {1: -1.0, 8: -1.0, 32: -1.0}
    distinct_floor: 0.0
    min_problems: 10
    min_samples: 4
    max_unverified: 1.0
"""
"""The whole pipeline at a size that shows only that it works; its gate lets everything pass."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres, S3, Prefect and MLflow with logins; a module of tests has its own, and may count what they hold."""
    try:
        with running(tmp_path_factory.mktemp("stack")) as servers:
            yield servers
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def make_small(make_checkout: Callable[[str], Checkout]) -> Callable[..., Checkout]:
    """A checkout of the project at the smallest size, with ``environment`` in all its commands."""

    def make(name: str, **environment: str) -> Checkout:
        plain = make_checkout(name)
        checkout = Checkout(plain.root, extra=environment)
        (checkout.root / "profiles" / "smallest.yaml").write_text(PROFILE)
        checkout.run("poly-epo", "profile", "apply", "smallest")
        commit(checkout, "smallest")
        return checkout

    return make


def commit(checkout: Checkout, message: str) -> None:
    """Commit everything that git does not ignore."""
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-q", "-m", message)


def files_below(directory: Path) -> dict[str, bytes]:
    """Relative path -> content."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
