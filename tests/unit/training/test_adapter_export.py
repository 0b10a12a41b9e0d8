"""The adapter that a saved policy carries: peft itself makes the merged policy of it and of the base."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel

from components.policy.load import load_model
from tests.unit.training.reference import random_batch
from tests.unit.training.test_trainer import MAX_LENGTH, trainer


def test_peft_reads_the_exported_adapter_as_the_merged_policy(tiny_policy: Path, tmp_path: Path) -> None:
    batch = random_batch(load_model(tiny_policy), prompts=4, group_size=4, max_length=MAX_LENGTH, seed=3)
    of = trainer(tiny_policy, lora={"rank": 4, "alpha": 8, "seed": 1}, learning_rate=0.02)
    of.update(batch, minibatches=2)
    policy = tmp_path / "policy"
    policy.mkdir()
    of.save_policy(policy)
    ids = torch.tensor([batch.prompt_ids[0] + batch.completion_ids[0]])
    with torch.no_grad():
        base = load_model(tiny_policy).eval()(ids).logits
        merged = load_model(policy).eval()(ids).logits
        beside = PeftModel.from_pretrained(load_model(tiny_policy), policy / "adapter").eval()(ids).logits
    assert torch.allclose(beside, merged, atol=1e-5)
    assert not torch.allclose(base, merged, atol=1e-3)


def test_a_policy_without_lora_carries_none(tiny_policy: Path, tmp_path: Path) -> None:
    trainer(tiny_policy).save_policy(tmp_path)
    assert not (tmp_path / "adapter").exists()
