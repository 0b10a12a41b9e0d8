"""Weights from GPU memory: the routes that are called and what they carry, with a stand-in for vLLM's trainer side.

No GPU and no vLLM take part: this shows that our half follows the interface as vLLM 0.32's source has it, not that
weights arrive.
"""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.rollout import vllm_transfer
from components.rollout.http import Connection
from components.rollout.params import VllmParams
from components.rollout.vllm_sync import Load, Policy, put_policy
from components.rollout.vllm_transfer import send_over_ipc, send_over_nccl
from tests.unit.rollout.fake_vllm import FakeVllm, fake_vllm

PACKAGE = "vllm.distributed.weight_transfer"
HANDLE = {"GPU-uuid": ("a handle", 7)}


@dataclass
class _Info:
    backend: str
    fields: dict[str, Any]


@dataclass
class _Trainer:
    """Sends as vLLM's trainer side does: init, start, updates while the source is read, finish."""

    info: _Info
    client: Any
    source: Any
    sent: dict[str, torch.Tensor]

    def send_weights(self) -> None:
        self.client.start_weight_update()
        metadata = self.source.metadata()
        names = [meta.name for meta in metadata]
        update = {"names": names, "shapes": [list(meta.shape) for meta in metadata]}
        if self.info.backend == "ipc":
            update["ipc_handles"] = HANDLE
        self.client.update_weights(update)
        self.sent.update(iter(self.source))
        self.client.finish_weight_update()

    def shutdown(self) -> None:
        """Nothing is held."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """vLLM's modules by stand-ins; what the trainer side read from its source."""
    sent: dict[str, torch.Tensor] = {}

    def trainer_init(info: _Info, *, client: Any, source: Any) -> _Trainer:
        client.init_weight_transfer_engine(info.fields)
        return _Trainer(info, client, source, sent)

    contents = {
        "base": {
            "WeightSource": object,
            "ParamMeta": lambda name, dtype, shape: SimpleNamespace(name=name, dtype=dtype, shape=shape),
        },
        "factory": {"WeightTransferTrainerFactory": SimpleNamespace(trainer_init=trainer_init)},
        "nccl_engine": {"NCCLTrainerInitInfo": lambda **fields: _Info("nccl", fields)},
        "ipc_engine": {"IPCTrainerInitInfo": lambda **fields: _Info("ipc", fields)},
    }
    for name in ("vllm", "vllm.distributed", PACKAGE):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, values in contents.items():
        module = ModuleType(f"{PACKAGE}.{name}")
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(vllm_transfer, "_DEVICE", "cpu")
    return sent


@pytest.fixture
def fake() -> Iterator[tuple[FakeVllm, str]]:
    with fake_vllm() as running:
        yield running


LOADS = {"nccl": partial(send_over_nccl, address="10.0.0.1", port=29700), "ipc": send_over_ipc}


@pytest.mark.parametrize("backend", LOADS)
def test_the_routes_are_called_in_their_order_within_a_pause(
    backend: str, fake: tuple[FakeVllm, str], tiny_policy: Path, sent: dict[str, torch.Tensor]
) -> None:
    server, url = fake
    load: Load = LOADS[backend]
    label = put_policy(Connection(url, timeout=5.0), Policy(tiny_policy, 4), load)
    assert [path for path, _ in server.control] == [
        "/pause",
        "/update_weight_version",
        "/init_weight_transfer_engine",
        "/start_weight_update",
        "/update_weights",
        "/finish_weight_update",
        "/shutdown_weight_transfer_engine",
        "/reset_prefix_cache",
        "/update_weight_version",
        "/resume",
    ]
    assert server.label == label
    assert server.loaded == []
    weights = load_file(tiny_policy / "model.safetensors")
    assert sent.keys() == weights.keys()
    assert all(torch.equal(sent[name], value) for name, value in weights.items())
    update = dict(server.control)["/update_weights"]["update_info"]
    assert sorted(update["names"]) == sorted(weights)
    assert update["shapes"] == [list(weights[name].shape) for name in update["names"]]


def test_nccl_counts_the_servers_workers(
    fake: tuple[FakeVllm, str], tiny_policy: Path, sent: dict[str, torch.Tensor]
) -> None:
    LOADS["nccl"](Connection(fake[1], timeout=5.0), tiny_policy)
    init = dict(fake[0].control)["/init_weight_transfer_engine"]["init_info"]
    assert init == {"rank": 0, "master_address": "10.0.0.1", "master_port": 29700, "world_size": 3}


def test_ipc_sends_its_handles_as_vllms_route_takes_them(
    fake: tuple[FakeVllm, str], tiny_policy: Path, sent: dict[str, torch.Tensor]
) -> None:
    send_over_ipc(Connection(fake[1], timeout=5.0), tiny_policy)
    posted = dict(fake[0].control)
    assert posted["/init_weight_transfer_engine"]["init_info"] == {"rank": 0, "packed": True}
    update = posted["/update_weights"]["update_info"]
    assert "ipc_handles" not in update
    assert pickle.loads(base64.b64decode(update["ipc_handles_pickled"])) == HANDLE


@pytest.mark.parametrize("backend", LOADS)
def test_without_a_gpu_it_is_one_line(backend: str, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with fake_vllm() as (_, url), pytest.raises(PolyEpoError, match="no GPU here"):
        LOADS[backend](Connection(url, timeout=5.0), tiny_policy)


@pytest.mark.parametrize("backend", LOADS)
def test_without_vllm_it_is_one_line(backend: str, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, f"{PACKAGE}.{backend}_engine", None)
    with fake_vllm() as (_, url), pytest.raises(PolyEpoError, match="vLLM cannot be imported here"):
        LOADS[backend](Connection(url, timeout=5.0), tiny_policy)


def test_ipc_reaches_no_further_than_this_machine() -> None:
    with pytest.raises(ValueError, match="whose GPU memory weights: ipc shares"):
        VllmParams(weights="ipc", urls=["http://10.0.0.2:8100"], allow_remote=True)
