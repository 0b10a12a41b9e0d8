"""LoRA policies in a real vLLM server on CPU as adapters beside the base: one start, three versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.manifest import publish
from components.policy.load import load_model, load_tokenizer, save_policy
from components.rollout.engine import get_engine
from components.rollout.http import Connection
from components.rollout.params import RolloutParams
from components.rollout.vllm_engine import VllmEngine
from components.rollout.vllm_managed import managed_servers, stop_managed_servers
from components.rollout.vllm_sync import current_label
from components.training.lora import add_adapter, export_adapter, merged_weights
from components.training.params import LoraParams
from tests.integration.test_vllm import GROUP, HIDDEN, PROMPTS, trainer_logprobs
from tests.tiny import problems, publish_policy

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

LORA = LoraParams(rank=8, alpha=16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_policy(tmp_path_factory.mktemp("base") / "000000", seed=0, hidden_size=HIDDEN)


@pytest.fixture(scope="module")
def engine(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[VllmEngine]:
    vllm = {"kv_cache_gib": 1, "max_in_flight": 64, "weights": "adapter", "adapter_rank": 8}
    params = RolloutParams.model_validate({"engine": "vllm", "max_new_tokens": 16, "vllm": vllm})
    made = get_engine(params, state=tmp_path_factory.mktemp("state"), owner="arm", base=base)
    assert isinstance(made, VllmEngine)
    yield made
    stop_managed_servers()


def trained(base: Path, directory: Path, seed: int) -> Path:
    """A policy as the trainer saves it: the base with adapters that are far from zero, merged and by themselves."""
    model = load_model(base)
    add_adapter(model, LORA)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    weights = dict(model.state_dict())
    with publish(directory, fingerprint=f"lora-{seed}") as temporary:
        export_adapter(weights, LORA, temporary / "adapter")
        save_policy(model, load_tokenizer(base), temporary, weights=merged_weights(model, weights))
    return directory


def sampled_logprobs(table: pa.Table) -> np.ndarray:
    return np.concatenate(table["rollout_logprobs"].to_pylist())


def test_each_version_is_an_adapter_whose_log_probabilities_are_the_trainers(
    engine: VllmEngine, base: Path, tmp_path: Path
) -> None:
    versions = [base, trained(base, tmp_path / "000001", 1), trained(base, tmp_path / "000002", 2)]
    names = []
    for version, policy in enumerate(versions):
        engine.load_policy(policy, version)
        table = engine.sample(problems(PROMPTS), group_size=GROUP, seed=version)
        assert set(table["policy_version"].to_pylist()) == {version}
        sampled = sampled_logprobs(table)
        assert np.abs(sampled - trainer_logprobs(policy, table)).max() < 1e-3
        # Those of the version before (or after) differ by far: the bound tells the versions apart.
        assert np.abs(sampled - trainer_logprobs(versions[version - 1], table)).max() > 0.1
        if version:
            names.append(_only_adapter(engine))
    assert names[0].startswith("1-")
    assert names[1].startswith("2-")


def _only_adapter(engine: VllmEngine) -> str:
    """The name of the one adapter that the server lists, which is the label of its weights."""
    connection = Connection(managed_servers(engine._params.vllm, engine._state / "logs")[0].url, timeout=60.0)
    models = connection.get("/v1/models")["data"]
    [name] = [entry["id"] for entry in models if entry["parent"] is not None]
    assert current_label(connection) == name
    connection.close()
    return str(name)
