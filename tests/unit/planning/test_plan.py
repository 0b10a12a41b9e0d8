"""Operations, seconds, and what `poly-epo plan` prints for every profile."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from transformers import LlamaConfig
from typer.testing import CliRunner

from components.errors import PolyEpoError
from components.improve.params import ArmsParams, ImproveParams
from components.params import parse_params
from components.planning.architecture import KNOWN
from components.planning.cost import RATES, iteration_cost
from components.planning.inputs import Assumed, architecture_of, workload_of
from components.planning.report import make_plan
from components.policy.params import GgufSource, PathSource, PolicyParams
from components.rollout.params import RolloutParams
from components.training.params import TrainingParams
from flows.cli import app
from flows.profiles import params_with_profile, profile_names
from tests.unit.improve.small import document
from tests.unit.planning.test_memory import WORK

ROOT = Path(__file__).parents[3]
QWEN = KNOWN["Qwen/Qwen3-4B-Base"]


def test_operations_are_six_per_parameter_and_token_where_nothing_else_counts() -> None:
    work = dataclasses.replace(
        WORK, minibatches=1, checkpointing=False, prompt_tokens=1, completion_tokens=1, mean_completion_tokens=1
    )
    cost = iteration_cost(QWEN, work, RATES["h200"])
    # Each prompt of one token runs once for its eight completions of one token.
    expected = 6 * (QWEN.layers * QWEN.layer_matrices * 9 * 128 + QWEN.hidden * QWEN.vocabulary * 1024)
    assert cost.update_flops == pytest.approx(expected, rel=1e-4)


def test_checkpointing_and_old_logprobs_cost_a_forward_pass_each() -> None:
    plain = iteration_cost(QWEN, dataclasses.replace(WORK, minibatches=1, checkpointing=False), RATES["h200"])
    checkpointed = iteration_cost(QWEN, dataclasses.replace(WORK, minibatches=1), RATES["h200"])
    both = iteration_cost(QWEN, WORK, RATES["h200"])
    assert checkpointed.update_flops / plain.update_flops == pytest.approx(4 / 3)
    assert both.update_flops / plain.update_flops == pytest.approx(4.5 / 3)


def test_a_measured_generation_rate_replaces_the_estimate() -> None:
    cost = iteration_cost(QWEN, WORK, RATES["h200"], tokens_per_second=5000.0)
    assert cost.sampling_seconds == pytest.approx(128 * 8 * 2048 / (5000 * 4))


def test_a_model_in_a_directory_is_read_from_its_config(tmp_path: Path) -> None:
    LlamaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2).save_pretrained(tmp_path)
    params = PolicyParams(source=PathSource(kind="path", path=str(tmp_path)))
    architecture, _ = architecture_of(params)
    assert (architecture.layers, architecture.hidden, architecture.vocabulary) == (2, 16, 30)
    assert architecture_of(PolicyParams(source=GgufSource(kind="gguf", file="x")), tmp_path / "config.json")[0] == (
        architecture
    )


def test_a_source_that_does_not_say_its_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="--config"):
        architecture_of(PolicyParams(source=GgufSource(kind="gguf", file="model.gguf")))
    with pytest.raises(PolyEpoError, match=r"config\.json"):
        architecture_of(PolicyParams(source=PathSource(kind="path", path=str(tmp_path))))


def test_what_params_say_goes_into_the_workload() -> None:
    params = parse_params(document())
    architecture, _ = architecture_of(params[PolicyParams])
    work, notes = workload_of(params, architecture, Assumed(prompt_tokens=10), processes=2, device_type="cpu")
    assert (work.prompts, work.group_size, work.completions) == (4, 8, 32)
    assert work.mean_completion_tokens == 3
    assert work.micro_batch_tokens == 96
    assert work.concurrent_sequences == 16
    assert any("completions of 3 tokens" in note for note in notes)
    assert not any("prompts of" in note for note in notes)


@pytest.mark.parametrize("profile", [None, *profile_names(ROOT / "profiles")])
def test_every_profile_has_a_plan(profile: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = ["--profile", profile] if profile else []
    result = CliRunner().invoke(app, ["plan", "--json", *options])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row["value"] for row in json.loads(result.output)["rows"]}
    assert {"parameters", "master weights", "key-value cache", "iteration", "checkpoint"} <= set(rows)
    assert CliRunner().invoke(app, ["plan", *options]).output.startswith(f"plan of {profile or 'params.yaml'}\n")


def test_the_papers_setting_in_full_fits_four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = params_with_profile("qwen3-4b")
    improve, training = params[ImproveParams], params[TrainingParams]
    assert (improve.prompts_per_iteration, improve.minibatches, improve.group_size) == (128, 2, 8)
    assert params[ArmsParams].root["poly_epo"].objective["set_size"] == 4
    assert (improve.iterations, params[RolloutParams].max_new_tokens) == (850, 4096)
    assert (training.learning_rate, training.clip_ratio_low, training.clip_ratio_high) == (1e-6, 0.2, 0.28)
    assert (training.loss_aggregation, training.processes, training.dtype) == ("max_length", 4, "bfloat16")
    architecture, _ = architecture_of(params[PolicyParams])
    rates = RATES["h200"]
    work, notes = workload_of(params, architecture, Assumed(), processes=4, device_type=rates.device_type)
    plan = make_plan(architecture, work, rates, assumptions=notes, iterations=850, kept_checkpoints=2)
    assert plan.fits
    assert plan.engine.total == rates.memory // 2
    assert plan.trainer.total < rates.memory // 2
