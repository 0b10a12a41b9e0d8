"""The rollout engine with a real vLLM server on CPU that it starts itself: one start, one kill, one start after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.rollout.engine import get_engine
from components.rollout.http import Connection
from components.rollout.params import RolloutParams
from components.rollout.vllm_engine import VllmEngine
from components.rollout.vllm_managed import ManagedServer, managed_servers, stop_managed_servers
from components.rollout.vllm_server import end_group
from tests.tiny import problems, publish_policy

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

PROMPTS = [f"{a}+({b})=" for a in range(4) for b in range(6)]
GROUP = 8
NEW_TOKENS = 24
# Two heads of 32: the smallest that vLLM's attention computes on CPU.
HIDDEN = 64


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("policies")
    return [publish_policy(root / f"{seed:06d}", seed=seed, hidden_size=HIDDEN) for seed in (0, 1)]


@pytest.fixture(scope="module")
def engine(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    params = RolloutParams.model_validate(
        {"engine": "vllm", "max_new_tokens": NEW_TOKENS, "vllm": {"kv_cache_gib": 1, "max_in_flight": 64}}
    )
    made = get_engine(params, state=tmp_path_factory.mktemp("state"), owner="arm")
    assert isinstance(made, VllmEngine)
    yield made
    stop_managed_servers()


def server_of(engine: VllmEngine) -> ManagedServer:
    return managed_servers(engine._params.vllm, engine._state / "logs")[0]


def sample(engine: VllmEngine, policy: Path, version: int, *, seed: int, prompts: list[str] = PROMPTS) -> pa.Table:
    engine.load_policy(policy, version)
    return engine.sample(problems(prompts), group_size=GROUP, seed=seed)


def trainer_logprobs(policy: Path, table: pa.Table) -> np.ndarray:
    """What the trainer's forward pass gives for the sampled tokens, one after the other."""
    import torch

    from components.policy.load import load_model

    model = load_model(policy).eval()
    values = []
    for row in table.to_pylist():
        ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
        with torch.no_grad():
            logprobs_TV = torch.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
        completion_T = ids[0, len(row["prompt_ids"]) :]
        values.append(logprobs_TV[-len(completion_T) :].gather(1, completion_T[:, None])[:, 0].numpy())
    return np.concatenate(values)


def greedy(engine: VllmEngine, prompt_ids: list[int]) -> list[int]:
    connection = Connection(server_of(engine).url, timeout=60.0)
    body = {"model": "policy", "prompt": prompt_ids, "max_tokens": 12, "temperature": 0.0, "ignore_eos": True}
    answer = connection.post("/v1/completions", body | {"return_token_ids": True})
    connection.close()
    return list(answer["choices"][0]["token_ids"])


def transformers_greedy(policy: Path, prompt_ids: list[int]) -> list[int]:
    import torch

    from components.policy.load import load_model

    model, ids = load_model(policy).eval(), list(prompt_ids)
    for _ in range(12):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt_ids) :]


def test_log_probabilities_are_the_trainers_before_and_after_a_policy_is_put_in_place(
    engine: VllmEngine, policies: list[Path]
) -> None:
    for version, policy in enumerate(policies):
        table = sample(engine, policy, version, seed=version)
        assert len(table) == len(PROMPTS) * GROUP
        assert set(table["policy_version"].to_pylist()) == {version}
        sampled = np.concatenate(table["rollout_logprobs"].to_pylist())
        assert np.abs(sampled - trainer_logprobs(policy, table)).max() < 1e-3
        # The other policy's differ by far: the bound tells the two apart.
        assert np.abs(sampled - trainer_logprobs(policies[1 - version], table)).max() > 0.1
        prompt = table["prompt_ids"][0].as_py()
        assert greedy(engine, prompt) == transformers_greedy(policy, prompt)
    assert engine.stats is not None
    assert engine.stats.sync_seconds < 5


def test_completions_end_with_a_stop_token_or_at_the_limit(engine: VllmEngine, policies: list[Path]) -> None:
    table = sample(engine, policies[0], 0, seed=7)
    rows = table.select(["completion_ids", "finish_reason", "completion"]).to_pylist()
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    for row in rows:
        assert (row["completion_ids"][-1] == 1) == (row["finish_reason"] == "stop")
        assert "<eos>" not in row["completion"]


def test_a_server_killed_in_the_middle_costs_time_only(engine: VllmEngine, policies: list[Path]) -> None:
    prompts = [f"{a}-({b})=" for a in range(10) for b in range(10)]
    sample(engine, policies[1], 5, seed=8)
    server = server_of(engine)
    assert server.process is not None
    killed, killer = server.process.pid, threading.Thread(target=_kill_amid, args=(engine, server, engine._store))
    killer.start()
    table = sample(engine, policies[1], 5, seed=9, prompts=prompts)
    killer.join()
    assert server.process is not None
    assert server.process.pid != killed
    assert engine.stats is not None
    assert engine.stats.repeated_requests > 0
    assert table["problem_id"].to_pylist() == [f"p{number}" for number in range(100) for _ in range(GROUP)]
    assert table["sample_index"].to_pylist() == list(range(GROUP)) * 100
    sampled = np.concatenate(table["rollout_logprobs"].to_pylist())
    assert np.abs(sampled - trainer_logprobs(policies[1], table)).max() < 1e-3


def _kill_amid(engine: VllmEngine, server: ManagedServer, before: object) -> None:
    """Kill the server and all its processes when the next sampling has its first groups."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        store = engine._store
        if store is not before and store is not None and len(store.finished()) > 0 and server.process is not None:
            end_group(server.process.pid)
            return
        time.sleep(0.001)
