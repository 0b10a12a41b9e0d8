"""The Prefect server of one project: found, or started on loopback and ended by the process that started it.

Its home is .poly-epo/prefect (SQLite). ``server.json`` there names the server that is running, so that a second
command (`poly-epo ui prefect` during a run, say) uses it and does not start another on the same database.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from components import process_guard
from components.errors import PolyEpoError
from flows.settings import STATE, prefect_server_env

__all__ = ["PrefectServer", "free_port", "is_healthy"]

_START_LIMIT_SECONDS = 180.0


class PrefectServer:
    """A Prefect API that answers at ``api_url``.

    ``start`` returns at once, so that other work can go on while the server comes up; ``wait`` returns when it does.

        server = PrefectServer.start(root)
        try:
            ...
            server.wait()
        finally:
            server.stop()
    """

    def __init__(self, root: Path, api_url: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.api_url = api_url
        self._root = root
        self._process = process

    @classmethod
    def start(
        cls,
        root: Path,
        *,
        environment: Mapping[str, str] = os.environ,
        port: int | None = None,
        schedules: bool = False,
    ) -> PrefectServer:
        """The server PREFECT_API_URL names, else the one of this project that is running, else a new one."""
        given = environment.get("PREFECT_API_URL")
        if given:
            return cls(root, given)
        running = _running_server(root)
        if running and not schedules:
            return cls(root, running)
        port = port or free_port()
        server = cls(root, f"http://127.0.0.1:{port}/api", _spawn(root, port, schedules, environment))
        _server_file(root).write_text(json.dumps({"api_url": server.api_url}), encoding="utf-8")
        return server

    @property
    def ui_url(self) -> str:
        """Where a browser finds the UI."""
        return self.api_url.removesuffix("/api")

    @property
    def is_ours(self) -> bool:
        """Whether this process started the server, and ends it."""
        return self._process is not None

    def wait(self, limit_seconds: float = _START_LIMIT_SECONDS) -> None:
        """Return when the server answers.

        Raises:
            PolyEpoError: it ended, or did not answer within ``limit_seconds``.
        """
        deadline = time.monotonic() + (limit_seconds if self.is_ours else 15.0)
        while not is_healthy(self.api_url):
            if self._process is not None and self._process.poll() is not None:
                raise PolyEpoError(
                    f"the Prefect server ended with code {self._process.returncode}",
                    where=str(_log_file(self._root)),
                    remedy="its last lines say why",
                )
            if time.monotonic() > deadline:
                raise PolyEpoError("the Prefect server does not answer", where=self.api_url, remedy=self._remedy())
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server if this process started it."""
        if self._process is None:
            return
        _server_file(self._root).unlink(missing_ok=True)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until_ended(self) -> int:
        """Block until the server that this process started ends; its exit code."""
        return self._process.wait() if self._process is not None else 0

    def _remedy(self) -> str:
        if self.is_ours:
            return f"see {_log_file(self._root)}"
        return "start that server, or unset PREFECT_API_URL to use one of this project's own"


def is_healthy(api_url: str) -> bool:
    """Whether a Prefect API answers at ``api_url`` now."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(root: Path, port: int, schedules: bool, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    log = _log_file(root)
    log.parent.mkdir(parents=True, exist_ok=True)
    _server_file(root).parent.mkdir(parents=True, exist_ok=True)
    # uvicorn itself, not `prefect server start`: one process and one import of Prefect less.
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
    ]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *command],
            env={**environment, **prefect_server_env(root, port, schedules=schedules)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _running_server(root: Path) -> str | None:
    try:
        api_url = str(json.loads(_server_file(root).read_text(encoding="utf-8"))["api_url"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # none recorded, or a record cut off by a kill: start one
    return api_url if is_healthy(api_url) else None


def _server_file(root: Path) -> Path:
    return root / STATE / "prefect" / "server.json"


def _log_file(root: Path) -> Path:
    return root / STATE / "logs" / "prefect-server.log"
