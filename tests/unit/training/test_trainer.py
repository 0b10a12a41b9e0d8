"""The trainer's gradient, read from AdamW's first moment, against the plain reference; and what an update refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.policy.load import load_model
from components.training.batch import ScoredBatch
from components.training.params import TrainingParams
from components.training.trainer import Trainer
from tests.unit.training.reference import Settings, random_batch, reference_gradients, relative_distance

MAX_LENGTH = 12
TOLERANCE = 1e-5
BETA = 0.9

Gradients = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def batch(tiny_policy: Path) -> ScoredBatch:
    return random_batch(load_model(tiny_policy), prompts=4, group_size=4, max_length=MAX_LENGTH, seed=3)


def trainer(policy: Path, state: Path | None = None, **changed: Any) -> Trainer:
    values = {"learning_rate": 1e-3, "max_grad_norm": 1e9, "betas": (BETA, 0.95), "max_skipped_steps": 0} | changed
    made = Trainer(TrainingParams.model_validate(values), max_new_tokens=MAX_LENGTH, device="cpu")
    made.load(policy, state)
    return made


def first_moments(of: Trainer, directory: Path) -> Gradients:
    directory.mkdir()
    of.save_state(directory)
    moments = load_file(directory / "optimizer.safetensors")
    return {name.removeprefix("exp_avg."): value for name, value in moments.items() if name.startswith("exp_avg.")}


def one_step_gradient(policy: Path, batch: ScoredBatch, directory: Path, **changed: Any) -> Gradients:
    stepped = trainer(policy, **changed)
    stepped.update(batch, minibatches=1)
    return {name: moment / (1 - BETA) for name, moment in first_moments(stepped, directory).items()}


@pytest.mark.parametrize("cap", [None, 1.2])
@pytest.mark.parametrize("aggregation", ["max_length", "own_length", "token"])
def test_gradient_and_loss_of_the_first_step(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, aggregation: str, cap: float | None
) -> None:
    model = load_model(tiny_policy)
    settings = Settings(aggregation=aggregation, max_length=MAX_LENGTH, cap=cap)
    expected, loss = reference_gradients(model, model, batch, settings)
    stepped = trainer(tiny_policy, loss_aggregation=aggregation, importance_cap=cap)
    metrics = stepped.update(batch, minibatches=1)
    actual = {name: moment / (1 - BETA) for name, moment in first_moments(stepped, tmp_path / "state").items()}
    assert relative_distance(actual, expected) < TOLERANCE
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["ratio_mean"] == 1.0
    assert metrics["clip_fraction"] == 0.0
    assert (metrics["importance_capped"] > 0) == (cap is not None)


@pytest.mark.parametrize("cap", [None, 1.2])
@pytest.mark.parametrize("aggregation", ["max_length", "own_length", "token"])
def test_gradient_of_the_second_step_where_clipping_is_active(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, aggregation: str, cap: float | None
) -> None:
    options = {"loss_aggregation": aggregation, "importance_cap": cap, "learning_rate": 0.02}
    first, second = batch.minibatches(2)
    after_one = trainer(tiny_policy, **options)
    after_one.update(first, minibatches=1)
    after_two = trainer(tiny_policy, **options)
    assert after_two.update(batch, minibatches=2)["clip_fraction"] > 0.05
    (tmp_path / "policy").mkdir()
    after_one.save_policy(tmp_path / "policy")
    one, two = first_moments(after_one, tmp_path / "one"), first_moments(after_two, tmp_path / "two")
    actual = {name: (two[name] - BETA * one[name]) / (1 - BETA) for name in one}
    settings = Settings(aggregation=aggregation, max_length=MAX_LENGTH, cap=cap)
    expected, _ = reference_gradients(load_model(tmp_path / "policy"), load_model(tiny_policy), second, settings)
    assert relative_distance(actual, expected) < TOLERANCE


@pytest.mark.parametrize(
    "changed",
    [
        {"micro_batch_tokens": 1},
        {"micro_batch_tokens": 30},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "micro_batch_tokens": 50},
    ],
)
@pytest.mark.parametrize("aggregation", ["max_length", "own_length", "token"])
def test_gradient_does_not_depend_on_how_it_is_computed(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, aggregation: str, changed: dict[str, Any]
) -> None:
    options = {"loss_aggregation": aggregation}
    whole = one_step_gradient(tiny_policy, batch, tmp_path / "whole", **options)
    split = one_step_gradient(tiny_policy, batch, tmp_path / "split", **options, **changed)
    assert relative_distance(split, whole) < TOLERANCE


def test_completions_without_signal_are_skipped_without_changing_the_gradient(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    without = int((batch.advantages_B == 0).sum())
    assert without > 0
    skipping = trainer(tiny_policy)
    metrics = skipping.update(batch, minibatches=1)
    assert metrics["trained_share"] == 1 - without / len(batch)
    # Nothing is skipped where "no signal" is set below zero advantages of 1e-30.
    tiny = np.where(batch.advantages_B == 0, 1e-30, batch.advantages_B)
    all_of_them = replace(batch, advantages_B=tiny)
    complete = trainer(tiny_policy, advantage_epsilon=0.0)
    assert complete.update(all_of_them, minibatches=1)["trained_share"] == 1.0
    one = first_moments(skipping, tmp_path / "skipping")
    assert relative_distance(one, first_moments(complete, tmp_path / "complete")) < TOLERANCE


def test_a_batch_without_any_signal_takes_no_step(tiny_policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    silent = replace(batch, advantages_B=np.zeros(len(batch)))
    still = trainer(tiny_policy)
    metrics = still.update(silent, minibatches=2)
    assert still.steps == 0
    assert (metrics["trained_share"], metrics["grad_norm"], metrics["loss"]) == (0.0, 0.0, 0.0)
    (tmp_path / "policy").mkdir()
    still.save_policy(tmp_path / "policy")
    before, after = (load_file(path / "model.safetensors") for path in (tiny_policy, tmp_path / "policy"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    (tmp_path / "state").mkdir()
    still.save_state(tmp_path / "state")
    assert trainer(tiny_policy, tmp_path / "state").steps == 0


def test_the_gradient_is_clipped_to_its_norm(tiny_policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    stepped = trainer(tiny_policy, max_grad_norm=1e-3)
    metrics = stepped.update(batch, minibatches=1)
    assert metrics["grad_norm"] > 1e-2
    gradient = [moment / (1 - BETA) for moment in first_moments(stepped, tmp_path / "state").values()]
    assert float(torch.stack([part.norm() for part in gradient]).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_learning_rate_warms_up_by_optimizer_steps(tiny_policy: Path, batch: ScoredBatch) -> None:
    warming = trainer(tiny_policy, learning_rate=0.4, warmup_steps=4)
    rates = [warming.update(batch, minibatches=1)["learning_rate"] for _ in range(4)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_trainer_loaded_from_its_files_goes_on_bit_for_bit(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    warm = trainer(tiny_policy, warmup_steps=5)
    warm.update(batch, minibatches=2)
    policy, state = tmp_path / "policy", tmp_path / "state"
    policy.mkdir()
    state.mkdir()
    warm.save_policy(policy)
    warm.save_state(state)
    resumed = trainer(policy, state, warmup_steps=5)
    assert resumed.steps == warm.steps == 2
    # No completion has signal, so no step is taken: what is told must not depend on when the process was started.
    silent = replace(batch, advantages_B=np.zeros(len(batch)))
    assert resumed.update(silent, minibatches=2) == warm.update(silent, minibatches=2)
    assert resumed.update(batch, minibatches=2) == warm.update(batch, minibatches=2)
    files = []
    for name, of in (("warm", warm), ("resumed", resumed)):
        (tmp_path / name).mkdir()
        of.save_policy(tmp_path / name)
        of.save_state(tmp_path / name)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]


def test_a_loss_that_is_not_finite_is_an_error_of_one_line(tiny_policy: Path, batch: ScoredBatch) -> None:
    huge = replace(batch, advantages_B=batch.advantages_B * 1e38)
    with pytest.raises(
        PolyEpoError, match=r"optimizer step 1, rollouts p\d sample.*not finite.*nothing of this update"
    ):
        trainer(tiny_policy).update(huge, minibatches=1)


def test_a_gradient_that_is_not_finite_is_an_error_before_the_weights_change(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    spoilt = trainer(tiny_policy)
    weight = next(iter(spoilt._model.parameters()))
    weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(PolyEpoError, match="the gradient is not finite"):
        spoilt.update(batch, minibatches=1)
    spoilt.save_policy(tmp_path)
    before, after = (load_file(path / "model.safetensors") for path in (tiny_policy, tmp_path))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("token", [-1, 10**6])
def test_a_token_that_the_model_does_not_have_is_named_with_its_completion(
    tiny_policy: Path, batch: ScoredBatch, token: int
) -> None:
    strange = [list(ids) for ids in batch.completion_ids]
    strange[5][-1] = token
    with pytest.raises(PolyEpoError, match=rf"^problem 'p1', sample 1: a token id outside.*got {token}"):
        trainer(tiny_policy).update(replace(batch, completion_ids=strange), minibatches=1)


def test_a_state_of_another_model_is_refused(tiny_policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    from tests.tiny import publish_policy

    other = trainer(publish_policy(tmp_path / "other", seed=0, layers=1))
    other.update(batch, minibatches=1)
    (tmp_path / "state").mkdir()
    other.save_state(tmp_path / "state")
    with pytest.raises(PolyEpoError, match="belongs to another model"):
        trainer(tiny_policy, tmp_path / "state")
