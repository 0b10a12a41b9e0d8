"""Servers that outlive the command that started them: one record a server below .poly-epo/rollout-servers."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from components.errors import PolyEpoError
from components.manifest import write_json
from components.rollout.http import Connection, Malformed, Refused, Unreachable
from components.rollout.params import VllmParams
from components.rollout.vllm_environment import find_environment
from components.rollout.vllm_server import ServerProcess, ServerSettings, end_group, free_port, is_healthy
from components.rollout.vllm_sync import current_label

__all__ = ["ServerRecord", "servers_of", "start_server", "state_of", "stop_server"]

_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class ServerRecord:
    """A server in the background.

    Attributes:
        port: on 127.0.0.1.
        pid: leader of its process group.
        started: when the kernel started that process, in clock ticks since boot: tells it from a later one with its id.
        log_file: what it says.
    """

    port: int
    pid: int
    started: str
    log_file: str

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def start_server(
    params: VllmParams, model: Path, *, state: Path, port: int = 0, gpu: int | None = None, name: str
) -> ServerRecord:
    """Start a server that goes on when this process ends; returns when it answers.

    Raises:
        PolyEpoError: vLLM is not installed, the port is taken, or the server does not start.
    """
    port = port or free_port()
    if is_healthy(Connection(f"http://127.0.0.1:{port}", timeout=2.0)):
        raise PolyEpoError("a server answers on this port already", where="--port", value=port, remedy="name another")
    settings = ServerSettings(params, find_environment(), port, gpu, name)
    log_file = (state / "logs" / f"rollout-server-{port}.log").absolute()
    server = ServerProcess.start(settings, model, log_file=log_file, detached=True)
    record = ServerRecord(port, server.pid, _started(server.pid), str(log_file))
    _records(state).mkdir(parents=True, exist_ok=True)
    write_json(_records(state) / f"{port}.json", asdict(record))
    try:
        server.wait()
    except BaseException:
        server.stop()
        _file(record, state).unlink(missing_ok=True)
        raise
    return record


def servers_of(state: Path) -> list[ServerRecord]:
    """The servers recorded below ``state``; a record whose process is gone is removed."""
    servers = [
        ServerRecord(**json.loads(file.read_text(encoding="utf-8"))) for file in sorted(_records(state).glob("*.json"))
    ]
    for server in servers:
        if not _runs(server):
            _file(server, state).unlink(missing_ok=True)
    return [server for server in servers if _runs(server)]


def state_of(server: ServerRecord) -> str:
    """One phrase: starting, or the weights it holds (``default``: those it was started with)."""
    connection = Connection(server.url, timeout=5.0)
    try:
        return f"holds policy {current_label(connection)}" if is_healthy(connection) else "does not answer yet"
    except (Unreachable, Refused, Malformed, KeyError, TypeError):
        return "answers, but not as vLLM does"
    finally:
        connection.close()


def stop_server(server: ServerRecord, state: Path) -> None:
    """End the server and all it started; remove its record."""
    if _runs(server):
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while _runs(server) and time.monotonic() < deadline:
            time.sleep(0.1)
        end_group(server.pid)
    _file(server, state).unlink(missing_ok=True)


def _records(state: Path) -> Path:
    return state / "rollout-servers"


def _file(server: ServerRecord, state: Path) -> Path:
    return _records(state) / f"{server.port}.json"


def _runs(server: ServerRecord) -> bool:
    return _started(server.pid) == server.started != ""


def _started(pid: int) -> str:
    """When the process started (field 22 of /proc/PID/stat); empty when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
