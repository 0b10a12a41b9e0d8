"""The trainer and the sampler on a GPU against the same on the CPU, which the other tests hold against the formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from components.policy.load import load_model
from components.rollout.transformers_engine import TransformersEngine
from components.training.batch import ScoredBatch, batch_from_table
from components.training.params import TrainingParams
from components.training.trainer import Trainer
from tests.tiny import problems, publish_policy
from tests.unit.training.reference import random_batch, relative_distance

pytestmark = pytest.mark.gpu
MAX_LENGTH = 40
BETA = 0.9


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_policy(tmp_path_factory.mktemp("gpu") / "000000", seed=0, hidden_size=64)


@pytest.fixture(scope="module")
def batch(policy: Path) -> ScoredBatch:
    return random_batch(load_model(policy), prompts=6, group_size=8, max_length=MAX_LENGTH, seed=3)


def trainer(policy: Path, device: str, state: Path | None = None, **changed: Any) -> Trainer:
    values = {"learning_rate": 1e-3, "max_grad_norm": 1e9, "betas": (BETA, 0.95), "max_skipped_steps": 0} | changed
    made = Trainer(TrainingParams.model_validate(values), max_new_tokens=MAX_LENGTH, device=device)
    made.load(policy, state)
    return made


def gradient(of: Trainer, directory: Path) -> dict[str, torch.Tensor]:
    """Of a first step, from AdamW's first moment."""
    directory.mkdir()
    of.save_state(directory)
    moments = load_file(directory / "optimizer.safetensors")
    prefix = "exp_avg."
    return {name.removeprefix(prefix): value / (1 - BETA) for name, value in moments.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("changed", "distance"),
    [
        ({}, 1e-3),
        ({"gradient_checkpointing": True}, 1e-3),
        ({"micro_batch_tokens": 300}, 1e-3),
        ({"dtype": "bfloat16"}, 0.1),
        ({"dtype": "bfloat16", "gradient_checkpointing": True}, 0.1),
        ({"dtype": "bfloat16", "compile": True}, 0.1),
        ({"kl_coefficient": 0.1, "entropy_coefficient": 0.01}, 1e-3),
    ],
    ids=lambda value: "-".join(value) or "plain" if isinstance(value, dict) else None,
)
def test_gradient_agrees_with_the_cpu(
    policy: Path, batch: ScoredBatch, tmp_path: Path, changed: dict[str, Any], distance: float
) -> None:
    of_loss = {name: value for name, value in changed.items() if name.endswith("_coefficient")}
    expected, actual = trainer(policy, "cpu", **of_loss), trainer(policy, "cuda", **changed)
    assert actual._packed
    wanted = expected.update(batch, minibatches=1)
    metrics = actual.update(batch, minibatches=1)
    assert relative_distance(gradient(actual, tmp_path / "gpu"), gradient(expected, tmp_path / "cpu")) < distance
    assert metrics["loss"] == pytest.approx(wanted["loss"], rel=distance, abs=distance * 1e-2)
    assert metrics["entropy"] == pytest.approx(wanted["entropy"], rel=distance)


def test_lora_trains_on_a_gpu(policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="peft is not installed")
    trained = trainer(policy, "cuda", lora={"rank": 4, "alpha": 8})
    trained.update(batch, minibatches=2)
    (tmp_path / "policy").mkdir()
    trained.save_policy(tmp_path / "policy")
    before, after = load_model(policy).state_dict(), load_model(tmp_path / "policy").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_saved_state_goes_on_where_it_was(policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    whole, first = trainer(policy, "cuda"), trainer(policy, "cuda")
    for _ in range(2):
        whole.update(batch, minibatches=2)
    first.update(batch, minibatches=2)
    for name in ("policy", "state", "whole", "resumed"):
        (tmp_path / name).mkdir()
    first.save_policy(tmp_path / "policy")
    first.save_state(tmp_path / "state")
    resumed = trainer(tmp_path / "policy", "cuda", tmp_path / "state")
    resumed.update(batch, minibatches=2)
    assert resumed.steps == whole.steps == 4
    whole.save_policy(tmp_path / "whole")
    resumed.save_policy(tmp_path / "resumed")
    expected, actual = load_model(tmp_path / "whole").state_dict(), load_model(tmp_path / "resumed").state_dict()
    # Kernels on a GPU add up in no fixed order: near, not equal.
    assert relative_distance(actual, expected) < 1e-3


def sampled(policy: Path, device: str, seed: int) -> pa.Table:
    engine = TransformersEngine(max_new_tokens=MAX_LENGTH, batch_size=64, device=device)
    engine.load_policy(policy, 0)
    return engine.sample(problems(["a", "abc=12", "(3,4)+", "j j j j"]), group_size=16, seed=seed)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-3), ("bfloat16", 0.3)])
def test_the_trainer_recomputes_the_sampler_s_logprobs(policy: Path, dtype: str, limit: float) -> None:
    rollouts = sampled(policy, "cuda", 5)
    scored = rollouts.append_column("marginal_advantage", pa.array(np.ones(len(rollouts))))
    batch = batch_from_table(scored, where="test")
    own = trainer(policy, "cuda", dtype=dtype)
    differences = []
    with torch.no_grad():
        for (part, inputs), _ in own._micro_batches(batch):
            computed = own._statistics(own._forward, inputs).logprobs_V.cpu().numpy()
            differences.append(np.abs(computed - np.concatenate(part.rollout_logprobs)))
    assert sum(map(len, differences)) == batch.tokens
    assert np.concatenate(differences).max() < limit


def test_the_sampler_repeats_itself(policy: Path) -> None:
    assert sampled(policy, "cuda", 5).equals(sampled(policy, "cuda", 5))
    assert not sampled(policy, "cuda", 5).equals(sampled(policy, "cuda", 6))
