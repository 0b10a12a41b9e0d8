"""The tiny default policy is a model like any other: the Auto classes open it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.errors import PolyEpoError
from components.params import load_params
from components.policy.load import load_tokenizer, save_policy
from components.policy.params import PolicyParams, TinySource
from components.policy.tiny import build_tiny_model
from components.policy.tokenizer import build_character_tokenizer
from tests.tiny import CHARACTERS, tiny_model

PARAMS = Path(__file__).parents[3] / "params.yaml"
STRANGE = "é́ßü漢字🙂\t\n\r\"'\\<>&\x00 ▁Ġ"


def test_the_auto_classes_open_it_and_compute_the_same(tmp_path: Path) -> None:
    model, tokenizer = tiny_model()
    save_policy(model, tokenizer, tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("a=1", add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert ids.tolist() == [tokenizer("a=1", add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        assert torch.equal(opened(ids).logits, model(ids).logits)
    assert sorted(path.suffix for path in tmp_path.glob("model*")) == [".safetensors"]


@pytest.mark.parametrize("characters", [CHARACTERS, STRANGE])
def test_every_character_makes_the_round_trip_through_the_saved_tokenizer(tmp_path: Path, characters: str) -> None:
    build_character_tokenizer([characters]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}', encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    for text in [*characters, characters, characters[::-1]]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert (tokenizer.padding_side, tokenizer.pad_token_id, tokenizer.eos_token_id) == ("left", 0, 1)


def test_an_unknown_character_is_one_unknown_token_and_any_ids_decode() -> None:
    tokenizer = build_character_tokenizer(["ab"])
    assert tokenizer("aXXb", add_special_tokens=False)["input_ids"] == [3, 2, 2, 4]
    assert tokenizer.decode([3, 0, 1, 2, 4, 999], skip_special_tokens=True) == "ab"


def test_the_default_is_well_under_a_million_parameters() -> None:
    source = load_params(PARAMS)[PolicyParams].source
    assert isinstance(source, TinySource)
    model = build_tiny_model(source, build_character_tokenizer([CHARACTERS]), seed=0)
    assert sum(weight.numel() for weight in model.parameters()) < 1_000_000


def test_one_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    source = TinySource(kind="tiny", hidden_size=16, layers=1, heads=2)
    tokenizer = build_character_tokenizer(["ab"])
    state = torch.get_rng_state()
    one, two, other = (build_tiny_model(source, tokenizer, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("hidden_size", "heads"), [(16, 3), (18, 6)])
def test_a_hidden_size_that_the_heads_cannot_share_is_an_error(hidden_size: int, heads: int) -> None:
    source = TinySource(kind="tiny", hidden_size=hidden_size, layers=1, heads=heads)
    with pytest.raises(PolyEpoError, match=rf"policy.source.hidden_size.*use a multiple of {2 * heads}"):
        build_tiny_model(source, build_character_tokenizer(["ab"]), seed=0)
