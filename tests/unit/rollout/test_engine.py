"""The sampler against the trainer's forward pass, its distribution, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.errors import PolyEpoError
from components.policy.load import load_model, load_tokenizer, prompt_ids
from components.records import ROLLOUT
from components.rollout.engine import get_engine
from components.rollout.params import RolloutParams
from components.rollout.transformers_engine import TransformersEngine
from components.training.forward import completion_logprobs, set_packed_attention
from components.training.packing import pack
from tests.tiny import problems, publish_policy

PROMPTS = ["a", "abc=12", "(3,4)+", "j j j j j 0123456789"]
MAX_NEW_TOKENS = 9


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def engine(policy: Path, *, batch_size: int = 64, max_new_tokens: int = MAX_NEW_TOKENS) -> TransformersEngine:
    made = TransformersEngine(max_new_tokens=max_new_tokens, batch_size=batch_size, device="cpu")
    made.load_policy(policy, 7)
    return made


@pytest.fixture(scope="module")
def rollouts(tiny_policy: Path) -> pa.Table:
    return engine(tiny_policy).sample(problems(PROMPTS), group_size=16, seed=5)


def test_rows_are_ordered_by_problem_and_sample(rollouts: pa.Table, tiny_policy: Path) -> None:
    assert rollouts.schema == ROLLOUT
    assert rollouts["problem_id"].to_pylist() == [f"p{problem}" for problem in range(4) for _ in range(16)]
    assert rollouts["sample_index"].to_pylist() == list(range(16)) * 4
    tokenizer = load_tokenizer(tiny_policy)
    expected = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS for _ in range(16)]
    assert rollouts["prompt_ids"].to_pylist() == expected
    assert set(rollouts["policy_version"].to_pylist()) == {7}
    assert set(rollouts["seed"].to_pylist()) == {5}


def test_finish_reasons_lengths_and_the_end_token(rollouts: pa.Table, tiny_policy: Path) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    rows = rollouts.to_pylist()
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    for row in rows:
        ids = row["completion_ids"]
        assert 1 <= len(ids) <= MAX_NEW_TOKENS
        assert len(row["rollout_logprobs"]) == len(ids)
        assert (ids[-1] == tokenizer.eos_token_id) == (row["finish_reason"] == "stop")
        assert tokenizer.eos_token_id not in ids[:-1]
        if row["finish_reason"] == "length":
            assert len(ids) == MAX_NEW_TOKENS
        assert row["completion"] == tokenizer.decode(ids, skip_special_tokens=True)


def test_log_probabilities_are_those_of_the_trainer(rollouts: pa.Table, tiny_policy: Path) -> None:
    batch = pack(rollouts["prompt_ids"].to_pylist(), rollouts["completion_ids"].to_pylist(), device=torch.device("cpu"))
    model = load_model(tiny_policy).eval()
    assert set_packed_attention(model)
    with torch.no_grad():
        forced = completion_logprobs(model, batch)
    sampled = np.concatenate(rollouts["rollout_logprobs"].to_pylist())
    assert np.abs(forced.logprobs_V.numpy() - sampled).max() < 1e-5
    # The bound says something only where the distributions are far from uniform.
    assert sampled.std() > 0.5


def test_one_seed_gives_the_same_rows_another_seed_others(rollouts: pa.Table, tiny_policy: Path) -> None:
    same = engine(tiny_policy)
    assert same.sample(problems(PROMPTS), group_size=16, seed=5).equals(rollouts)
    assert same.sample(problems(PROMPTS), group_size=16, seed=5).equals(rollouts)
    other = same.sample(problems(PROMPTS), group_size=16, seed=6)
    assert other["completion_ids"] != rollouts["completion_ids"]


@pytest.mark.parametrize("batch_size", [1, 16, 33])
def test_batches_hold_whole_groups_whatever_their_size(tiny_policy: Path, batch_size: int) -> None:
    table = engine(tiny_policy, batch_size=batch_size).sample(problems(PROMPTS), group_size=4, seed=0)
    assert table["problem_id"].to_pylist() == [f"p{problem}" for problem in range(4) for _ in range(4)]


def test_groups_are_handed_on_batch_by_batch(tiny_policy: Path) -> None:
    handed: list[pa.Table] = []
    made = engine(tiny_policy, batch_size=8)
    table = made.sample(problems(PROMPTS), group_size=4, seed=0, finished=handed.append)
    assert [batch.num_rows for batch in handed] == [8, 8]
    assert pa.concat_tables(handed).equals(table)


def test_no_problems_give_no_rows(tiny_policy: Path) -> None:
    assert engine(tiny_policy).sample([], group_size=4, seed=0).equals(ROLLOUT.empty_table())


def test_first_tokens_are_drawn_from_the_models_softmax(tiny_policy: Path) -> None:
    draws = 4000
    table = engine(tiny_policy, batch_size=draws, max_new_tokens=1).sample(problems(["ab="]), group_size=draws, seed=1)
    model, tokenizer = load_model(tiny_policy), load_tokenizer(tiny_policy)
    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids(tokenizer, "ab=")])).logits[0, -1]
    expected = draws * torch.softmax(logits, dim=-1).double().numpy()
    counts = np.bincount([ids[0] for ids in table["completion_ids"].to_pylist()], minlength=len(expected))
    # Cells with few expected draws are taken together, as Pearson's test asks for.
    rare = expected < 8
    expected, counts = np.append(expected[~rare], expected[rare].sum()), np.append(counts[~rare], counts[rare].sum())
    assert len(expected) > 5
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    # Wilson-Hilferty: the cube root of chi-square over its freedom is normal; 3.1 standard deviations are p = 0.001.
    deviation = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / np.sqrt(2 / (9 * freedom))
    assert deviation < 3.1


def test_weights_put_in_place_equal_a_fresh_engine(tiny_policy: Path, tmp_path: Path) -> None:
    other = publish_policy(tmp_path / "other", seed=9)
    warm = engine(tiny_policy)
    before = warm.sample(problems(PROMPTS), group_size=4, seed=0)
    warm.load_policy(other, 8)
    fresh = TransformersEngine(max_new_tokens=MAX_NEW_TOKENS, batch_size=64, device="cpu")
    fresh.load_policy(other, 8)
    after = warm.sample(problems(PROMPTS), group_size=4, seed=0)
    assert after.equals(fresh.sample(problems(PROMPTS), group_size=4, seed=0))
    assert after["completion_ids"] != before["completion_ids"]


def test_a_policy_with_another_tokenizer_is_loaded_whole(tiny_policy: Path, tmp_path: Path) -> None:
    other = publish_policy(tmp_path / "other", seed=0)
    file = other / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"a": ', '"Z": '), encoding="utf-8")
    warm = engine(tiny_policy)
    warm.load_policy(other, 8)
    table = warm.sample(problems(["Z"]), group_size=1, seed=0)
    assert table["prompt_ids"].to_pylist() == [[load_tokenizer(tiny_policy).convert_tokens_to_ids("a")]]


def test_a_prompt_that_leaves_no_room_is_an_error(tiny_policy: Path) -> None:
    with pytest.raises(PolyEpoError, match=r"prompt of 504 tokens \+ 9 new tokens exceed the model's 512"):
        engine(tiny_policy).sample(problems(["a" * 504]), group_size=1, seed=0)
    assert len(engine(tiny_policy, max_new_tokens=2).sample(problems(["a" * 510]), group_size=1, seed=0)) == 1


def test_an_empty_prompt_is_an_error(tiny_policy: Path) -> None:
    with pytest.raises(PolyEpoError, match="the prompt has no tokens"):
        engine(tiny_policy).sample(problems(["a", ""]), group_size=1, seed=0)


def test_without_a_policy_nothing_is_sampled() -> None:
    empty = get_engine(RolloutParams.model_validate({"max_new_tokens": 4}))
    with pytest.raises(PolyEpoError, match="no policy loaded -> call load_policy first"):
        empty.sample(problems(["a"]), group_size=2, seed=0)


def test_a_damaged_policy_is_one_line(tiny_policy: Path, tmp_path: Path) -> None:
    other = publish_policy(tmp_path / "other", seed=1)
    (other / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(PolyEpoError, match="cannot be loaded"):
        engine(tiny_policy).load_policy(other, 1)
    with pytest.raises(PolyEpoError, match="cannot open the model"):
        engine(other)
    (other / "model.safetensors").unlink()
    with pytest.raises(PolyEpoError, match="do not fit the model"):
        engine(tiny_policy).load_policy(other, 1)


def test_weights_of_another_shape_are_refused(tiny_policy: Path, tmp_path: Path) -> None:
    smaller = publish_policy(tmp_path / "smaller", seed=1, layers=1)
    (smaller / "config.json").write_bytes((tiny_policy / "config.json").read_bytes())
    (smaller / "generation_config.json").write_bytes((tiny_policy / "generation_config.json").read_bytes())
    with pytest.raises(PolyEpoError, match=r"do not fit the model .*layers\.1"):
        engine(tiny_policy).load_policy(smaller, 1)
