"""The improvement loop with a vLLM server that it starts itself and that is killed in the middle of an iteration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.improve.session import Session
from components.params import merge_overlay, parse_params
from components.records import ROLLOUT, read_records
from components.rollout.group_store import GroupStore
from components.rollout.params import RolloutParams
from components.rollout.vllm_managed import ManagedServer, managed_servers, stop_managed_servers
from components.rollout.vllm_server import end_group
from tests.integration.test_vllm import HIDDEN, trainer_logprobs
from tests.unit.improve.small import ARM, document, publish_inputs

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

ITERATIONS, PROMPTS, GROUP = 3, 4, 8


@pytest.fixture(scope="module")
def inputs(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    yield publish_inputs(tmp_path_factory.mktemp("inputs"), hidden_size=HIDDEN)
    stop_managed_servers()


def settings(weights: str) -> Any:
    changes = {
        # One group at a time: when the first is there, others are still to come.
        "rollout": {"engine": "vllm", "vllm": {"kv_cache_gib": 1, "max_in_flight": GROUP, "weights": weights}},
        "training": {"lora": {"rank": 8} if weights == "adapter" else None, "learning_rate": 0.02},
    }
    improve = {"iterations": ITERATIONS, "evaluate_every": ITERATIONS, "keep_last": ITERATIONS}
    return parse_params(merge_overlay(document(**improve), changes))


@pytest.mark.parametrize("weights", ["files", "adapter"])
def test_a_server_killed_in_the_middle_of_an_iteration_loses_nothing(
    weights: str, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, state = settings(weights), tmp_path / "state"
    killed: list[int] = []
    add = GroupStore.add

    def add_and_kill(store: GroupStore, number: int, group: pa.Table) -> None:
        add(store, number, group)
        if group["policy_version"][0].as_py() == 1 and not killed:
            killed.append(_kill(_server(params, state)))

    monkeypatch.setattr(GroupStore, "add", add_and_kill)
    paths = {"arm": ARM, "base": inputs[0], "problems": inputs[1], "out": tmp_path / ARM, "state": state}
    with Session.open(params, **paths) as session:
        for step in session.pending_steps():
            session.run(step)
        session.finish()
    process = _server(params, state).process
    assert process is not None
    assert killed != [process.pid]
    for iteration in range(1, ITERATIONS + 1):
        table = read_records(tmp_path / ARM / f"iterations/{iteration:06d}/rollouts/rollouts.parquet", ROLLOUT)
        assert table["sample_index"].to_pylist() == list(range(GROUP)) * PROMPTS
        assert len(set(table["problem_id"].to_pylist())) == PROMPTS
        assert set(table["policy_version"].to_pylist()) == {iteration - 1}
        made_by = inputs[0] if iteration == 1 else tmp_path / ARM / f"policies/{iteration - 1:06d}"
        sampled = np.concatenate(table["rollout_logprobs"].to_pylist())
        assert np.abs(sampled - trainer_logprobs(made_by, table)).max() < 1e-3
    # Policies differ by more than the bound: it tells them apart.
    last = read_records(tmp_path / ARM / f"iterations/{ITERATIONS:06d}/rollouts/rollouts.parquet", ROLLOUT)
    sampled = np.concatenate(last["rollout_logprobs"].to_pylist())
    assert np.abs(sampled - trainer_logprobs(inputs[0], last)).max() > 1e-2


def _server(params: Any, state: Path) -> ManagedServer:
    return managed_servers(params[RolloutParams].vllm, state / "logs")[0]


def _kill(server: ManagedServer) -> int:
    assert server.process is not None
    end_group(server.process.pid)
    return server.process.pid
