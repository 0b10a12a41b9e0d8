"""`poly-epo evaluate` killed with -9 in the middle: the same call goes on with the problems it had not reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.evaluation.evaluate import evaluate
from components.evaluation.parts import COMPLETIONS_PER_PART
from components.manifest import MANIFEST_NAME, read_manifest
from components.records import PROBLEM, problems_to_table, write_records
from components.rollout.engine import RolloutEngine
from components.scoring.params import ScoringParams
from tests.unit.evaluation.reference import ReferenceEngine, polynomial_problems, small_params

SAMPLES = 16
PROBLEMS = 5 * COMPLETIONS_PER_PART // SAMPLES // 2  # two and a half parts
SLOW = 3  # the child samples this part and then hangs, as if it took for ever


class SlowEngine(ReferenceEngine):
    """Counts its calls, and hangs in the one it is told to."""

    def __init__(self, hang_at: int = 0) -> None:
        super().__init__(0.5, 5)
        self.calls: list[int] = []
        self.seeds: list[int] = []
        self._hang_at = hang_at

    def sample(self, problems, *, group_size, seed):  # type: ignore[no-untyped-def]
        self.calls.append(len(problems))
        self.seeds.append(seed)
        if len(self.calls) == self._hang_at:
            time.sleep(600)
        return super().sample(problems, group_size=group_size, seed=seed)


def run(root: Path, out: Path, engine: RolloutEngine, samples: int = SAMPLES, *, top_up: bool = True) -> bool:
    return evaluate(
        root / "policy",
        root / "problems.parquet",
        out,
        params=small_params(samples=samples),
        scoring=ScoringParams(),
        engine=lambda: engine,
        rollout_settings={"max_new_tokens": 12},
        top_up=top_up,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "config.json").write_text("{}")
    write_records(tmp_path / "problems.parquet", problems_to_table(polynomial_problems(PROBLEMS)), PROBLEM)
    return tmp_path


def test_a_killed_evaluation_goes_on_and_ends_as_if_it_had_not_been_killed(root: Path) -> None:
    out, parts = root / "out", root / ".out.parts"
    script = f"import pathlib; from {__name__} import child; child(pathlib.Path({str(root)!r}))"
    child = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        for _ in range(1200):
            if len(list(parts.glob(f"[0-9]*/{MANIFEST_NAME}"))) == SLOW - 1 or child.poll() is not None:
                break
            time.sleep(0.05)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert len(list(parts.glob(f"[0-9]*/{MANIFEST_NAME}"))) == SLOW - 1
    assert not out.exists()
    rest = SlowEngine()
    assert run(root, out, rest)
    assert rest.calls == [PROBLEMS % (COMPLETIONS_PER_PART // SAMPLES)]
    assert not parts.exists()
    whole = SlowEngine()
    assert run(root, root / "whole", whole)
    assert len(whole.calls) == SLOW
    assert (out / "rollouts.parquet").read_bytes() == (root / "whole" / "rollouts.parquet").read_bytes()
    assert (out / "metrics.json").read_bytes() == (root / "whole" / "metrics.json").read_bytes()


def child(root: Path) -> None:
    """What the killed process runs."""
    run(root, root / "out", SlowEngine(hang_at=SLOW))


def test_no_two_problems_share_their_draws_across_parts(root: Path) -> None:
    engine = SlowEngine()
    run(root, root / "out", engine)
    run(root, root / "out", engine, 2 * SAMPLES)
    assert len(set(engine.seeds)) == len(engine.seeds) == 2 * SLOW


def test_a_stage_does_not_take_samples_drawn_in_parts_for_its_own(root: Path) -> None:
    out = root / "out"
    run(root, out, SlowEngine())
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.facts["parts"] == SLOW
    stage = SlowEngine()
    assert run(root, out, stage, top_up=False) is False  # the same content: params, policy and problems
    (out / MANIFEST_NAME).write_text((out / MANIFEST_NAME).read_text().replace(manifest.fingerprint, "0" * 64))
    assert run(root, out, stage, top_up=False)
    assert stage.calls == [PROBLEMS]
