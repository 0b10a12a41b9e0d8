"""The plan's bytes against what autograd keeps for real layers, and against how the parts depend on the settings."""

from __future__ import annotations

import dataclasses

import pytest

from components.planning.architecture import KNOWN, Architecture
from components.planning.memory import engine_memory, layer_activation_bytes, trainer_memory
from components.planning.workload import Workload
from tests.unit.planning.saved import build, saved_bytes

SMALL = Architecture("qwen3", 50, 48, 80, 1, 4, 2, 16, True, 512)
WORK = Workload(
    prompts=128,
    group_size=8,
    minibatches=2,
    prompt_tokens=1024,
    completion_tokens=4096,
    mean_completion_tokens=2048,
    micro_batch_tokens=16_384,
    head_tokens=2048,
    processes=1,
    gpus=4,
    mixed=True,
    checkpointing=True,
    concurrent_sequences=256,
    engine_bytes=2,
)
TOKENS = 96


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_bytes_that_autograd_keeps_for_a_layer(family: str, mixed: bool) -> None:
    one = dataclasses.replace(SMALL, family=family)
    two = dataclasses.replace(one, layers=2)
    layer = saved_bytes(build(two), TOKENS, mixed=mixed) - saved_bytes(build(one), TOKENS, mixed=mixed)
    assert layer == TOKENS * layer_activation_bytes(one, mixed=mixed)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_bytes_that_autograd_keeps_for_a_whole_decoder(family: str) -> None:
    architecture = dataclasses.replace(SMALL, family=family, layers=3)
    work = dataclasses.replace(WORK, micro_batch_tokens=TOKENS, mixed=False, checkpointing=False)
    kept = saved_bytes(build(architecture), TOKENS, mixed=False)
    assert trainer_memory(architecture, work).activations == pytest.approx(kept, rel=0.01)


def test_checkpointing_keeps_one_residual_stream_a_layer() -> None:
    architecture = dataclasses.replace(SMALL, layers=6)
    work = dataclasses.replace(WORK, micro_batch_tokens=TOKENS, mixed=False)
    model = build(architecture)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    kept = saved_bytes(model, TOKENS, mixed=False)
    one_layer = TOKENS * layer_activation_bytes(architecture, mixed=False)
    assert trainer_memory(architecture, work).activations == pytest.approx(kept + one_layer, rel=0.03)


def test_state_is_divided_among_processes_and_the_rest_is_not() -> None:
    qwen = KNOWN["Qwen/Qwen3-4B-Base"]
    one = trainer_memory(qwen, WORK)
    four = trainer_memory(qwen, dataclasses.replace(WORK, processes=4))
    assert one.master_weights == one.gradients == 4 * qwen.parameters
    assert one.moments == 8 * qwen.parameters
    assert four.master_weights * 4 == one.master_weights
    assert four.moments * 4 == one.moments
    assert four.activations == one.activations
    # Autocast's copy of the head's weight is among the gathered weights there.
    assert four.head == one.head - 2 * qwen.vocabulary * qwen.hidden


def test_cache_of_the_engine() -> None:
    # 36 layers x 8 heads x 128 x keys and values x 2 bytes.
    engine = engine_memory(KNOWN["Qwen/Qwen3-4B-Base"], WORK, device_memory=0)
    assert engine.cache_per_token == 147_456
    assert engine.cache == 147_456 * 256 * 5120
    assert engine.sequences == 256


def test_an_engine_with_a_share_of_the_device_has_room_for_so_many() -> None:
    qwen = KNOWN["Qwen/Qwen3-4B-Base"]
    work = dataclasses.replace(WORK, engine_share=0.5)
    engine = engine_memory(qwen, work, device_memory=100 * 2**30)
    assert engine.total == 50 * 2**30
    assert engine.sequences == (50 * 2**30 - 2 * qwen.parameters) // (147_456 * 5120)
