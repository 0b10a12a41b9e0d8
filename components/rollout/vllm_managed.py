"""Servers that this process starts when it first samples, starts again when they die, and ends with itself.

All engines of a process share them: evaluating ten models starts one server. They are started with the first policy
and take the later ones in place; for a policy of another architecture they are started anew.
"""

from __future__ import annotations

import atexit
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.rollout.params import VllmParams
from components.rollout.vllm_server import ServerProcess, ServerSettings
from components.rollout.vllm_sync import Policy, architecture

__all__ = ["ManagedServer", "managed_servers", "stop_managed_servers"]

log = logging.getLogger(__name__)

# A process started with PR_SET_PDEATHSIG dies with the *thread* that started it: one thread that lasts starts them all.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollout-server-spawner")


class ManagedServer:
    """A server of ours on one device: a Starter for components.rollout.vllm_replica."""

    def __init__(self, settings: ServerSettings, log_file: Path) -> None:
        self.url = settings.url
        self.process: ServerProcess | None = None
        self._settings = settings
        self._log_file = log_file
        self._takes: dict[str, object] = {}
        self._guard = threading.Lock()

    def ensure_running(self, policy: Policy) -> None:
        """See :class:`components.rollout.vllm_replica.Starter`.

        Raises:
            PolyEpoError: it does not start.
        """
        with self._guard:
            wanted = architecture(policy.directory)
            if self.process is not None and self.process.is_alive and self._takes == wanted:
                return
            if self.process is not None:
                log.warning("rollout server %s is started again (%s)", self.url, self._log_file)
                self.process.stop()
            log.info("rollout server %s: starting (%s)", self.url, self._log_file)
            starting = _spawner.submit(ServerProcess.start, self._settings, policy.directory, log_file=self._log_file)
            process = self.process = starting.result()
            self._takes = wanted
            process.wait()

    def stop(self) -> None:
        """End it, also while a thread waits for it to start; the next use starts it again."""
        if self.process is not None:
            self.process.stop()
            self.process = None


_servers: dict[str, list[ManagedServer]] = {}
_servers_guard = threading.Lock()


def managed_servers(params: VllmParams, logs: Path) -> list[ManagedServer]:
    """This process's ``params.servers`` servers, one per GPU; the same ones at every call with the same params.

    Args:
        params: section ``rollout.vllm``.
        logs: directory of the files the servers write what they say into.

    Raises:
        PolyEpoError: vLLM is not installed, or another release.
    """
    key = repr(params)
    with _servers_guard:
        if key not in _servers:
            servers = []
            for index in range(params.servers):
                settings = ServerSettings.of(params, gpu=index if params.servers > 1 else None)
                servers.append(ManagedServer(settings, logs / f"rollout-server-{settings.port}.log"))
            _servers[key] = servers
        return _servers[key]


@atexit.register
def stop_managed_servers() -> None:
    """End all of them; done by itself when the process ends."""
    with _servers_guard:
        for servers in _servers.values():
            for server in servers:
                server.stop()
