"""A policy's weights to a server's GPUs without a disk between: vLLM 0.32's native transfer, over NCCL or IPC.

- ``rollout.vllm.weights: nccl``, from this process's GPU to others: for servers that do not see the directories
- ``rollout.vllm.weights: ipc``, to a server on the *same* GPU, which copies them out of this process's memory

Optional. Both need a GPU and vLLM in *this* process's environment too, and servers started with
``--weight-transfer-config``, as ``poly-epo rollout-server start`` does with the same params. Written against the
interface of 0.32.0 and NEVER RUN ON A GPU: tests drive the server's routes with a stand-in for vLLM's trainer side.
Reading files (the default) is what is tested for real.

Each transfer makes a trainer side of its own, so that a server that was started again is met like any other.
"""

from __future__ import annotations

import base64
import importlib
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from components.errors import PolyEpoError
from components.rollout.http import Connection

__all__ = ["send_over_ipc", "send_over_nccl"]

_PACKAGE = "vllm.distributed.weight_transfer"
_DEVICE = "cuda"


def send_over_nccl(connection: Connection, directory: Path, *, address: str, port: int) -> None:
    """Send the weights in ``directory`` to the paused server at ``connection``; returns when they are in use.

    Args:
        connection: to the server.
        directory: policy in safetensors.
        address: of this machine, as the server reaches it.
        port: TCP port here for the group's rendezvous.

    Raises:
        PolyEpoError: no GPU or no vLLM here.
        Refused, Unreachable: see components.rollout.http.
    """
    nccl = _module("nccl")
    workers = int(connection.get("/get_world_size")["world_size"])
    info = nccl.NCCLTrainerInitInfo(rank=0, master_address=address, master_port=port, world_size=1 + workers)
    _send(connection, directory, info)


def send_over_ipc(connection: Connection, directory: Path) -> None:
    """Let the paused server at ``connection``, on this process's GPU, copy the weights in ``directory``.

    They go through one buffer of bounded size (``packed``), not all at once.

    Raises:
        PolyEpoError: no GPU or no vLLM here.
        Refused, Unreachable: see components.rollout.http.
    """
    _send(connection, directory, _module("ipc").IPCTrainerInitInfo(rank=0, packed=True))


def _send(connection: Connection, directory: Path, info: Any) -> None:
    base, factory = (importlib.import_module(f"{_PACKAGE}.{name}") for name in ("base", "factory"))
    control = _Control(connection.url)
    engine = factory.WeightTransferTrainerFactory.trainer_init(info, client=control, source=_source(base, directory))
    try:
        engine.send_weights()
    finally:
        engine.shutdown()
        control.shutdown_weight_transfer_engine()


class _Control:
    """vLLM's ``VLLMWeightSyncClient`` over our connections; its calls come from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._post("/init_weight_transfer_engine", {"init_info": init_info})

    def start_weight_update(self) -> None:
        self._post("/start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        parts = [_in_json(part) for part in update_info] if isinstance(update_info, list) else _in_json(update_info)
        self._post("/update_weights", {"update_info": parts})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._post("/finish_weight_update", None if weight_version is None else {"weight_version": weight_version})

    def shutdown_weight_transfer_engine(self) -> None:
        self._post("/shutdown_weight_transfer_engine")

    def _post(self, path: str, body: object = None) -> None:
        connection = Connection(self._url, timeout=600.0)
        try:
            connection.post(path, body)
        finally:
            connection.close()


def _in_json(update_info: Mapping[str, Any]) -> dict[str, Any]:
    """``update_info`` as JSON carries it: handles of GPU memory, which only IPC has, as vLLM's route takes them."""
    fields = dict(update_info)
    handles = fields.pop("ipc_handles", None)
    if handles is not None:
        fields["ipc_handles_pickled"] = base64.b64encode(pickle.dumps(handles)).decode()
    return fields


def _source(base: Any, directory: Path) -> Any:
    """A ``WeightSource`` over the safetensors files of ``directory``: names and shapes first, tensors on demand."""

    class Files(base.WeightSource):  # type: ignore[misc]
        def metadata(self) -> list[Any]:
            return [
                base.ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in _tensors(directory, "cpu")
            ]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            return _tensors(directory, _DEVICE)

    return Files()


def _tensors(directory: Path, device: str) -> Iterator[tuple[str, torch.Tensor]]:
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="pt", device=device) as weights:
            for name in weights.keys():  # noqa: SIM118  (no mapping)
                yield name, weights.get_tensor(name)


def _module(backend: str) -> Any:
    """vLLM's module of ``backend``.

    Raises:
        PolyEpoError: no GPU here, or no vLLM.
    """
    if not torch.cuda.is_available():
        raise PolyEpoError("no GPU here", where="rollout.vllm.weights", value=backend, remedy="use files")
    try:
        return importlib.import_module(f"{_PACKAGE}.{backend}_engine")
    except ImportError as error:
        raise PolyEpoError(
            f"vLLM cannot be imported here: {error}",
            where="rollout.vllm.weights",
            value=backend,
            remedy="run the trainer in an environment that has vLLM too, or use files",
        ) from error
