from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from components.errors import PolyEpoError
from components.evaluation import __main__ as command
from components.evaluation.evaluate import content_digest, evaluate
from components.evaluation.measure import VERIFIED
from components.evaluation.results import read_evaluation
from components.manifest import publish, read_manifest
from components.records import PROBLEM, ROLLOUT, problems_to_table, read_records, write_records
from components.rollout.engine import RolloutEngine
from components.scoring.params import ScoringParams
from tests.unit.evaluation.reference import (
    ReferenceEngine,
    polynomial_problems,
    publish_evaluation,
    small_params,
)


def no_engine() -> RolloutEngine:
    raise AssertionError("nothing was to be sampled")


def test_what_is_published(tmp_path: Path) -> None:
    engine = ReferenceEngine(0.5, 3)
    out = publish_evaluation(tmp_path, "base", engine)
    assert engine.loaded == (tmp_path / "policies" / "base", 0)
    assert {path.name for path in out.iterdir()} == {
        "rollouts.parquet",
        "verified.parquet",
        "per_problem.parquet",
        "metrics.json",
        "manifest.json",
    }
    assert read_records(out / "rollouts.parquet", ROLLOUT).num_rows == 12 * 16
    assert read_records(out / "verified.parquet", VERIFIED).num_rows == 12 * 16
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["pass@8"]) == {"value", "low", "high"}
    assert metrics["pass@8"]["low"] <= metrics["pass@8"]["value"] <= metrics["pass@8"]["high"]
    conditions = {key: metrics[key] for key in ("problems", "samples", "temperature", "top_p", "distinct_samples")}
    assert conditions == {"problems": 12, "samples": 16, "temperature": 1.0, "top_p": 1.0, "distinct_samples": 8}
    assert metrics["dataset"] == content_digest(tmp_path / "test_12.parquet")
    assert metrics["policy"] == content_digest(tmp_path / "policies" / "base")
    assert metrics["pass@1"]["value"] == pytest.approx(read_evaluation("base", out).values("pass@1").mean())


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (publish_evaluation(tmp_path / run, "base", ReferenceEngine(0.5, 3)) for run in ("one", "two"))
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()


def test_a_complete_evaluation_is_not_made_again(tmp_path: Path) -> None:
    out = publish_evaluation(tmp_path, "base", ReferenceEngine(0.5, 3))
    arguments = {"params": small_params(), "scoring": ScoringParams(), "engine": no_engine, "rollout_settings": {}}
    paths = (tmp_path / "policies" / "base", tmp_path / "test_12.parquet", out)
    assert evaluate(*paths, **arguments) is False
    with pytest.raises(AssertionError, match="nothing was to be sampled"):
        evaluate(*paths, **{**arguments, "params": small_params(seed=1)})
    (tmp_path / "policies" / "base" / "config.json").write_text("{}")
    with pytest.raises(AssertionError, match="nothing was to be sampled"):
        evaluate(*paths, **arguments)


def test_a_failed_evaluation_leaves_nothing_behind(tmp_path: Path) -> None:
    class Broken(ReferenceEngine):
        def sample(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise PolyEpoError("out of memory")

    with pytest.raises(PolyEpoError, match="out of memory"):
        publish_evaluation(tmp_path, "base", Broken(0.5, 3))
    assert not (tmp_path / "evaluation").exists()


def test_the_digest_of_a_policy_is_its_manifests_or_its_files(tmp_path: Path) -> None:
    with publish(tmp_path / "policy", fingerprint="f") as directory:
        (directory / "model.safetensors").write_bytes(b"w")
    manifest = read_manifest(tmp_path / "policy")
    assert manifest is not None
    assert content_digest(tmp_path / "policy") == manifest.digest
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model.safetensors").write_bytes(b"w")
    before = content_digest(plain)
    (plain / "model.safetensors").write_bytes(b"v")
    assert content_digest(plain) != before
    (tmp_path / "file").write_bytes(b"abc")
    assert content_digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(PolyEpoError, match="no such file or directory"):
        content_digest(tmp_path / "nothing")


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """The command sets the process-wide number of threads: later tests get back what they had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems, policy = tmp_path / "test.parquet", tmp_path / "policy"
    write_records(problems, problems_to_table(polynomial_problems(3)), PROBLEM)
    policy.mkdir()
    (policy / "config.json").write_text("{}")
    monkeypatch.setattr(command, "get_engine", lambda _: ReferenceEngine(0.5, 3))
    options = ["--policy", str(policy), "--problems", str(problems), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["evaluation", *options])
    command.main()
    assert read_evaluation("x", tmp_path / "out").metrics["problems"] == 3
