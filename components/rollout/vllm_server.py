"""One vLLM server as a process of this machine: the right flags, its log, waiting until it answers, its end.

    server = ServerProcess.start(settings, policy, log=Path(".poly-epo/logs/rollout-server-0.log"))
    server.wait()          # raises when it ends or takes too long
    ...
    server.stop()

It binds to loopback and ends with the process that started it, kill -9 included (components/process_guard.py), unless
it was started ``detached``.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components import process_guard
from components.errors import PolyEpoError
from components.rollout.http import API_KEY, Connection, Refused, Unreachable
from components.rollout.params import VllmParams
from components.rollout.vllm_environment import VllmEnvironment, find_environment
from components.rollout.vllm_sync import SERVED_NAME
from components.rollout.vllm_worker import EXTENSION, put_extension

__all__ = ["HEAD_SIZES", "ServerProcess", "ServerSettings", "check_model", "free_port"]

log = logging.getLogger(__name__)

HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Sizes of an attention head that vLLM's attention on CPU computes; with another its engine dies at the first token."""

_REPORT_SECONDS = 15.0
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class ServerSettings:
    """How a server is started.

    Attributes:
        params: section ``rollout.vllm``.
        environment: the vLLM that is run.
        port: TCP port on loopback.
        gpu: index of its GPU among those this process may use; None: the first, or the CPU.
        served_name: the name its model answers to.
    """

    params: VllmParams
    environment: VllmEnvironment
    port: int
    gpu: int | None = None
    served_name: str = SERVED_NAME

    @classmethod
    def of(cls, params: VllmParams, *, gpu: int | None = None, port: int | None = None) -> ServerSettings:
        """The settings of a server on a free port, from the environment found here."""
        return cls(params, find_environment(), port or free_port(), gpu)

    @property
    def url(self) -> str:
        """Where it will answer."""
        return f"http://127.0.0.1:{self.port}"

    def command(self, model: Path) -> list[str]:
        """The command line. The module, not the `vllm` script: that one fails with the CPU package."""
        return [
            *(str(self.environment.python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model.absolute()), "--served-model-name", self.served_name),
            *("--host", "127.0.0.1", "--port", str(self.port), "--dtype", self.params.dtype),
            *("--worker-extension-cls", EXTENSION),
            # The model's own sampling defaults would truncate the distribution.
            *("--generation-config", "vllm", "--disable-uvicorn-access-log"),
            # Unseeded: a server that starts again must not draw the same completions again.
            *("--seed", str(secrets.randbelow(2**31))),
            *self._device_arguments(),
            *self._weights_arguments(),
            *self.params.arguments,
        ]

    def environ(self, extension: Path) -> dict[str, str]:
        """The server's environment: this process's, less what is meant for its own Python.

        ``extension`` is the directory in which vLLM's workers find components/rollout/vllm_worker.py.
        """
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON") and name != API_KEY}
        key = os.environ.get(API_KEY)
        return {
            **ours,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(extension),
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            **({"VLLM_API_KEY": key} if key else {}),
            **self._device_environ(),
            **self._weights_environ(),
        }

    def _device_arguments(self) -> list[str]:
        if self.environment.on_gpu:
            return ["--gpu-memory-utilization", str(self.params.gpu_memory_share)]
        return ["--enforce-eager"]

    def _weights_arguments(self) -> list[str]:
        match self.params.weights:
            case "files":
                return []
            case "adapter":
                return ["--enable-lora", "--max-loras", "1", "--max-lora-rank", str(self.params.adapter_rank)]
            case backend:
                return ["--weight-transfer-config", json.dumps({"backend": backend})]

    def _weights_environ(self) -> dict[str, str]:
        match self.params.weights:
            case "adapter":
                return {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
            case "ipc":
                # Handles of GPU memory come pickled: whoever reaches the control routes can run code in the server.
                return {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}
            case _:
                return {}

    def _device_environ(self) -> dict[str, str]:
        if self.environment.on_gpu:
            return {} if self.gpu is None else {"CUDA_VISIBLE_DEVICES": _visible_gpu(self.gpu)}
        return {
            "VLLM_CPU_KVCACHE_SPACE": str(self.params.kv_cache_gib),
            **self._cpu_threads(),
            # Small functions would be compiled by a C++ compiler at the first request: 40 s, if there is one.
            "TORCHDYNAMO_DISABLE": "1",
        }

    def _cpu_threads(self) -> dict[str, str]:
        if self.params.cpu_threads is None:
            # All cores sample: the client and the server's front end need little of one.
            return {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
        return {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(self.params.cpu_threads)}


class ServerProcess:
    """A server that this process, or an earlier command, started; see the module."""

    def __init__(self, settings: ServerSettings, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.url = settings.url
        self.log_file = log_file
        self._limit = settings.params.start_limit_seconds
        self._process = process

    @classmethod
    def start(cls, settings: ServerSettings, model: Path, *, log_file: Path, detached: bool = False) -> ServerProcess:
        """Start it and return at once.

        Args:
            settings: port, device and vLLM to run.
            model: directory of the model it starts with.
            log_file: its output is appended here.
            detached: it outlives this process.

        Raises:
            PolyEpoError: the model cannot be served.
        """
        check_model(model, settings)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        guard = [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid())]
        with log_file.open("ab") as output:
            process = subprocess.Popen(
                settings.command(model) if detached else [*guard, *settings.command(model)],
                env=settings.environ(put_extension(log_file.with_name(f"{log_file.stem}-extension"))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(settings, process, log_file)

    @property
    def pid(self) -> int:
        """Leader of the server's process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether its process runs; its engine may be dead all the same."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Return when the server answers; says every 15 s that it is still starting.

        Raises:
            PolyEpoError: it ended, or did not answer in time.
        """
        connection = Connection(self.url, timeout=5.0)
        begin = reported = time.monotonic()
        while not is_healthy(connection):
            now = time.monotonic()
            if not self.is_alive:
                raise PolyEpoError(
                    f"the vLLM server ended with code {self._process.returncode}: {_last_error(self.log_file)}",
                    where=str(self.log_file),
                    remedy="its log says more",
                )
            if now - begin > self._limit:
                self.stop()
                raise PolyEpoError(
                    f"the vLLM server did not answer within {self._limit:.0f} s",
                    where=str(self.log_file),
                    remedy="its log says what it was at; raise rollout.vllm.start_limit_seconds for a large model",
                )
            if now - reported > _REPORT_SECONDS:
                reported = now
                log.info("rollout server %s: starting for %.0f s (%s)", self.url, now - begin, self.log_file)
            time.sleep(0.25)
        connection.close()
        log.info("rollout server %s: ready after %.0f s", self.url, time.monotonic() - begin)

    def stop(self) -> None:
        """End it and everything it started."""
        if self.is_alive:
            self._process.terminate()
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                end_group(self._process.pid)
        self._process.wait()


def is_healthy(connection: Connection) -> bool:
    """Whether a server answers, and its engine lives."""
    try:
        connection.get("/health")
    except (Unreachable, Refused):
        return False
    return True


def end_group(leader: int) -> None:
    """Kill a process group at once; one that is gone is none of our business."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        log.debug("process group %d is gone already", leader)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_model(model: Path, settings: ServerSettings) -> None:
    """Refuse what the server would fail on after minutes.

    Raises:
        PolyEpoError: no model there, or an attention head that the CPU build cannot compute.
    """
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolyEpoError(
            "no model here: config.json is missing or unreadable",
            where=str(model),
            remedy="run the stage that makes it, or mend the path",
        ) from error
    heads = config.get("num_attention_heads") or 1
    size = config.get("head_dim") or config.get("hidden_size", 0) // heads
    if not settings.environment.on_gpu and size not in HEAD_SIZES:
        raise PolyEpoError(
            "vLLM on CPU cannot compute attention heads of this size",
            where=f"{model / 'config.json'} head_dim",
            value=size,
            remedy=f"use one of {', '.join(map(str, HEAD_SIZES))}: for the tiny policy, policy.source.heads is"
            " hidden_size / 32 (profiles/vllm.yaml)",
        )


def _visible_gpu(index: int) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names: Sequence[str] = visible.split(",") if visible else ()
    return names[index] if index < len(names) else str(index)


def _last_error(log_file: Path) -> str:
    """The last line of a log that names an error, else its last line."""
    with log_file.open("rb") as stream:
        stream.seek(max(log_file.stat().st_size - 100_000, 0))
        lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and "Traceback" not in line]
    return (errors or lines or ["no output"])[-1][:300]
