"""Every option of the update that is off by default, against a formula or an equality."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.policy.load import load_model
from components.training.batch import ScoredBatch
from components.training.loss import LossInputs, policy_loss
from components.training.memory import explaining_out_of_memory
from components.training.params import TrainingParams
from components.training.trainer import Trainer
from tests.unit.training.reference import random_batch, relative_distance, sequence_logprobs
from tests.unit.training.test_trainer import BETA, MAX_LENGTH, TOLERANCE, one_step_gradient, trainer

LORA = {"rank": 4, "alpha": 8, "seed": 1}


@pytest.fixture(scope="module")
def batch(tiny_policy: Path) -> ScoredBatch:
    return random_batch(load_model(tiny_policy), prompts=4, group_size=4, max_length=MAX_LENGTH, seed=3)


def saved(of: Trainer, directory: Path) -> Path:
    directory.mkdir()
    of.save_policy(directory)
    return directory


def states(of: Trainer, directory: Path) -> Path:
    directory.mkdir()
    of.save_state(directory)
    return directory


def test_kl_and_entropy_terms_by_hand() -> None:
    new, reference, entropy = [-0.5, -2.0], [-0.9, -1.1], [0.3, 1.7]
    logprobs_V = torch.tensor(new, requires_grad=True)
    entropy_V = torch.tensor(entropy, requires_grad=True)
    weights = [0.25, 0.5]
    outputs = policy_loss(
        LossInputs(
            logprobs_V, torch.tensor(new), torch.tensor(new), torch.zeros(2), torch.tensor(weights), entropy_V,
            torch.tensor(reference),
        ),
        clip_ratio_low=0.2, clip_ratio_high=0.28, importance_cap=None, kl_coefficient=0.1, entropy_coefficient=0.01,
    )  # fmt: skip
    gaps = [ref - own for ref, own in zip(reference, new, strict=True)]
    kl = [math.exp(gap) - 1 - gap for gap in gaps]
    expected = sum(w * (0.1 * k - 0.01 * h) for w, k, h in zip(weights, kl, entropy, strict=True))
    assert float(outputs.loss.detach()) == pytest.approx(expected, rel=1e-6)
    assert float(outputs.reference_kl_sum) == pytest.approx(sum(kl), rel=1e-6)
    outputs.loss.backward()
    slopes = [0.1 * w * (1 - math.exp(gap)) for w, gap in zip(weights, gaps, strict=True)]
    assert logprobs_V.grad.tolist() == pytest.approx(slopes, rel=1e-5)
    assert entropy_V.grad.tolist() == pytest.approx([-0.01 * w for w in weights], rel=1e-6)


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_reference_is_version_0_whatever_has_been_trained(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    of = trainer(tiny_policy, kl_coefficient=0.5, learning_rate=0.02, lora=lora)
    assert of.update(batch, minibatches=1)["reference_kl"] == pytest.approx(0.0, abs=1e-6)
    policy = saved(of, tmp_path / "policy")
    metrics = of.update(batch, minibatches=1)
    one, two = load_model(policy), load_model(tiny_policy)
    with torch.no_grad():
        gaps = torch.cat(
            [
                sequence_logprobs(two, *pair) - sequence_logprobs(one, *pair)
                for pair in zip(batch.prompt_ids, batch.completion_ids, strict=True)
            ]
        )
    assert metrics["reference_kl"] == pytest.approx(float((gaps.exp() - 1 - gaps).mean()), rel=1e-3)
    assert metrics["trained_share"] == 1.0  # the KL term holds completions without advantage too


def test_an_entropy_term_alone_spreads_the_policy(tiny_policy: Path, batch: ScoredBatch) -> None:
    silent = replace(batch, advantages_B=np.zeros(len(batch)))
    of = trainer(tiny_policy, entropy_coefficient=1.0, learning_rate=1e-3)
    entropies = [of.update(silent, minibatches=1)["entropy"] for _ in range(5)]
    assert entropies == sorted(entropies)
    assert entropies[-1] > entropies[0] + 1e-3


def test_masked_completions_give_no_gradient_and_still_count_in_the_normaliser(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    assert 0 < batch.truncated_B.sum() < len(batch)
    masked = one_step_gradient(tiny_policy, batch, tmp_path / "masked", overlong="mask")
    silenced = replace(batch, advantages_B=np.where(batch.truncated_B, 0.0, batch.advantages_B))
    assert relative_distance(masked, one_step_gradient(tiny_policy, silenced, tmp_path / "silenced")) < TOLERANCE
    kept = one_step_gradient(tiny_policy, batch, tmp_path / "kept", overlong="keep")
    assert relative_distance(masked, kept) > 0.01


def test_padded_whole_sequences_give_the_same_gradient(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = one_step_gradient(tiny_policy, batch, tmp_path / "packed")
    monkeypatch.setattr("components.training.trainer.set_packed_attention", lambda _: False)
    padded = one_step_gradient(tiny_policy, batch, tmp_path / "padded", micro_batch_tokens=60)
    assert relative_distance(padded, packed) < TOLERANCE


def test_a_policy_with_adapters_is_saved_merged_as_a_plain_model(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    of = trainer(tiny_policy, lora=LORA, learning_rate=0.02)
    fresh = load_file(saved(of, tmp_path / "fresh") / "model.safetensors")
    base = load_file(tiny_policy / "model.safetensors")
    assert fresh.keys() == base.keys()
    assert all(torch.equal(fresh[name], base[name]) for name in base)
    of.update(batch, minibatches=2)
    merged = load_file(saved(of, tmp_path / "merged") / "model.safetensors")
    changed = {name for name in base if not torch.equal(merged[name], base[name])}
    assert changed == {name for name in base if "_proj" in name}
    moments = load_file(states(of, tmp_path / "state") / "optimizer.safetensors")
    assert all(".lora_" in name for name in moments)
    # The trainer's own log-probabilities are those of the plain model it saved.
    plain = load_model(tmp_path / "merged")
    assert sorted(plain.state_dict()) == sorted(load_model(tiny_policy).state_dict())
    with torch.no_grad():
        expected = torch.cat(
            [sequence_logprobs(plain, *pair) for pair in zip(batch.prompt_ids, batch.completion_ids, strict=True)]
        )
        actual = of._statistics(of._forward, of._inputs(batch)).logprobs_V
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_adapters_resume_bit_for_bit(tiny_policy: Path, batch: ScoredBatch, tmp_path: Path) -> None:
    straight = trainer(tiny_policy, lora=LORA, learning_rate=0.02)
    straight.update(batch, minibatches=2)
    policy, state = saved(straight, tmp_path / "policy"), states(straight, tmp_path / "state")
    values = {"learning_rate": 0.02, "max_grad_norm": 1e9, "betas": (BETA, 0.95), "max_skipped_steps": 0, "lora": LORA}
    resumed = Trainer(TrainingParams.model_validate(values), max_new_tokens=MAX_LENGTH, device="cpu")
    resumed.load(policy, state, base=tiny_policy)
    assert resumed.update(batch, minibatches=2) == straight.update(batch, minibatches=2)
    for name, of in (("straight", straight), ("resumed", resumed)):
        saved(of, tmp_path / f"{name}-policy")
        states(of, tmp_path / f"{name}-state")
    for kind in ("policy/model", "state/adapter", "state/optimizer"):
        one, two = (tmp_path / f"{name}-{kind}.safetensors" for name in ("straight", "resumed"))
        assert one.read_bytes() == two.read_bytes()


def test_adapters_of_modules_that_are_not_there_are_refused(tiny_policy: Path) -> None:
    with pytest.raises(PolyEpoError, match=r"training.lora.target_modules.*no module"):
        trainer(tiny_policy, lora={"target_modules": ["nothing"]})


def spoil(of: Trainer, times: int) -> None:
    """The next ``times`` backward passes give a gradient that is not a number."""
    left = [times]

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        return gradient * float("nan") if left[0] >= 0 else gradient

    next(iter(of._model.parameters())).register_hook(hook)


def test_a_step_that_is_not_finite_is_skipped_counted_once_and_changes_nothing(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path
) -> None:
    of = trainer(tiny_policy, max_skipped_steps=1, micro_batch_tokens=10_000)
    spoil(of, 1)
    metrics = of.update(batch, minibatches=1)
    assert (metrics["skipped_steps"], metrics["loss"], metrics["grad_norm"], of.steps) == (1.0, 0.0, 0.0, 0)
    before, after = (load_file(path / "model.safetensors") for path in (tiny_policy, saved(of, tmp_path / "unchanged")))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert of.update(batch, minibatches=1)["skipped_steps"] == 0.0
    assert of.steps == 1


def test_too_many_skipped_steps_in_a_row_end_the_run_also_across_a_resume(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = trainer(tiny_policy, max_skipped_steps=2)
    spoil(of, 2)
    of.update(batch, minibatches=2)
    assert "sample" in caplog.text
    resumed = trainer(tiny_policy, states(of, tmp_path / "state"), max_skipped_steps=2)
    spoil(resumed, 1)
    with pytest.raises(PolyEpoError, match=r"rollouts p0 sample \d.* and \d+ more: the gradient .*'3 in a row'"):
        resumed.update(batch, minibatches=1)


def test_a_loss_that_is_not_finite_names_its_rollouts_alone(tiny_policy: Path, batch: ScoredBatch) -> None:
    row = int(np.flatnonzero(batch.advantages_B)[2])
    spoilt = batch.advantages_B.copy()
    spoilt[row] = 1e300
    with pytest.raises(PolyEpoError) as error:
        trainer(tiny_policy, max_skipped_steps=0).update(replace(batch, advantages_B=spoilt), minibatches=1)
    assert error.value.where == f"optimizer step 1, rollouts {batch.problem_ids[row]} sample {batch.sample_index[row]}"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_what_to_lower(error: RuntimeError) -> None:
    params = TrainingParams(learning_rate=1.0, micro_batch_tokens=77)
    with (
        pytest.raises(
            PolyEpoError, match=r"memory.*lower training.micro_batch_tokens \(now 77.*gradient_checkpointing"
        ),
        explaining_out_of_memory(params),
    ):
        raise error


def test_memory_that_really_cannot_be_had_is_told(tiny_policy: Path) -> None:
    with (
        pytest.raises(PolyEpoError, match="out of CPU memory"),
        explaining_out_of_memory(TrainingParams(learning_rate=1.0, gradient_checkpointing=True)),
    ):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_other_runtime_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explaining_out_of_memory(TrainingParams(learning_rate=1.0)):
        raise RuntimeError("shapes do not fit")


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_gradient(
    tiny_policy: Path, batch: ScoredBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = one_step_gradient(tiny_policy, batch, tmp_path / "plain")
    # Graphs are captured as always; what a compiler would make of them takes minutes on a CPU.
    captured = partialmethod(torch.nn.Module.compile, backend="eager")
    monkeypatch.setattr(torch.nn.Module, "compile", captured)
    compiled = one_step_gradient(tiny_policy, batch, tmp_path / "compiled", compile=True)
    assert relative_distance(compiled, plain) < TOLERANCE
