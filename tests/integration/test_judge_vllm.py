"""The judge against a real vLLM server: a model of random weights, forced by the schema to reply in order.

What such clusters are worth: nothing. That every reply can be read, is in range and is kept, is what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.records import Problem
from components.rollout.params import VllmParams
from components.rollout.vllm_server import ServerProcess, ServerSettings
from components.scoring.clusters import Group
from components.scoring.judge.client import ChatClient, QuestionTooLongError
from components.scoring.judge.clusterer import JudgeClusterer
from components.scoring.judge.params import JudgeParams
from components.scoring.judge.reply import MalformedReplyError

pytestmark = [pytest.mark.services, pytest.mark.slow]

CONTEXT = 12_288
NO_WHITESPACE = [
    "--structured-outputs-config",
    '{"backend": "xgrammar", "disable_any_whitespace": true}',
]  # random weights would never end it
TEXTS = ["40*6+7*6=282", "First 50*6=300, then minus 18.", "x^2 - 6x + 5 = (x-1)(x-5) <|im_end|>", "  "]


def byte_model(directory: Path) -> Path:
    """A chat model of random weights that reads and writes single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(["<eos>", "<turn>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", additional_special_tokens=["<turn>"]
    )
    wrapped.chat_template = (
        "{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
    )
    wrapped.save_pretrained(directory)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        eos_token_id=0,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def judge(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeParams]:
    directory = tmp_path_factory.mktemp("judge")
    settings = ServerSettings.of(VllmParams(kv_cache_gib=1, arguments=NO_WHITESPACE))
    server = ServerProcess.start(settings, byte_model(directory / "model"), log_file=directory / "server.log")
    try:
        server.wait()
        yield JudgeParams(
            url=f"{settings.url}/v1",
            model=settings.served_name,
            context_tokens=CONTEXT,
            bytes_per_token=1.0,
            cache=str(directory / "cache"),
            timeout_seconds=300.0,
            attempts=1,
            max_failure_share=1.0,
        )
    finally:
        server.stop()


def groups(count: int) -> list[Group]:
    return [
        Group(Problem(f"p{place}", f"Compute {place}.", "1", "exact", "test"), TEXTS, [None] * 4, [None] * 4)
        for place in range(count)
    ]


def test_replies_of_a_real_server_are_whole_and_in_range(judge: JudgeParams) -> None:
    clusterer = JudgeClusterer(judge)
    found = clusterer.cluster(groups(3))
    assert found.counts["judge_failures"] == 0.0
    for clusters in found.clusters:
        assert clusters.ids[3] == -1  # the empty completion, unasked
        assert all(-1 <= cluster < 3 for cluster in clusters.ids)
        assert all(name.isprintable() for name in clusters.names)
    assert clusterer.cluster(groups(3)).clusters == found.clusters
    clusterer.close()


def test_a_question_above_the_real_context_is_told_as_such(judge: JudgeParams) -> None:
    body = {"model": judge.model, "messages": [{"role": "user", "content": "a" * 2 * CONTEXT}], "max_tokens": 10}
    client = ChatClient(judge)
    with pytest.raises(QuestionTooLongError, match="12288"):
        client.complete(body)
    with pytest.raises(MalformedReplyError, match="cut off"):
        client.complete({**body, "messages": [{"role": "user", "content": "a"}]})
    client.close()


def test_another_name_and_a_larger_context_are_told_at_once(judge: JudgeParams) -> None:
    changes = {"model": "other"}, {"context_tokens": 2 * CONTEXT}
    for change, match in zip(changes, ("serves no model of this name", "12288 tokens only"), strict=True):
        clusterer = JudgeClusterer(judge.model_copy(update={**change, "cache": judge.cache + "-other"}))
        with pytest.raises(PolyEpoError, match=match):
            clusterer.cluster(groups(1))
        clusterer.close()
