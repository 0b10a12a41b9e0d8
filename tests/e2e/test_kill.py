"""kill -9 of `poly-epo run` at several moments; the same command resumes and ends with the same bytes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import RUN_SECONDS, Checkout, kill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

MOMENTS = (
    "workspace/base/manifest.json",  # the base policy was just published
    "workspace/improve/poly_epo/iterations/000002/scored/manifest.json",  # before and inside an update
    "workspace/improve/grpo/iterations/000003/update/manifest.json",  # the other arm, in its last iterations
    "workspace/evaluation/poly_epo/manifest.json",
)


def wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Moments are files that stay once written: the run may be past one before it is looked for."""
    deadline = time.monotonic() + RUN_SECONDS
    while not path.exists():
        ended = process.poll()
        assert ended is None, f"the run ended with {ended} and {path} never came\n{log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)


def test_killed_again_and_again_it_ends_like_a_run_that_never_was(
    finished: tuple[Checkout, str], make_checkout: Callable[[str], Checkout]
) -> None:
    undisturbed, _ = finished
    killed = make_checkout("killed")
    for moment in MOMENTS:
        process = killed.start("poly-epo", "run")
        wait_for(killed.root / moment, process, killed.root / "killed.log")
        kill(process)
    killed.run("poly-epo", "run")
    for arm in ("grpo", "poly_epo"):
        final = Path("workspace/improve") / arm / "final"
        names = sorted(path.name for path in (undisturbed.root / final).iterdir())
        assert "model.safetensors" in names
        for name in names:
            assert (killed.root / final / name).read_bytes() == (undisturbed.root / final / name).read_bytes(), name
    # Not only the policies: every output of every stage has the same hash. (Which arm was recorded first may differ.)
    locks = [yaml.safe_load((checkout.root / "dvc.lock").read_text()) for checkout in (killed, undisturbed)]
    assert locks[0] == locks[1]
