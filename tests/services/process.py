"""A server as a child process: its log, waiting until it answers, ending it, killing it and starting it again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from components import process_guard

START_SECONDS = 180.0


class Missing(Exception):  # noqa: N818
    """A program that the server needs is not installed; the text says which and how it is."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nothing listens, all different."""
    with contextlib.ExitStack() as opened:
        probes = [opened.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def listens(port: int) -> bool:
    """Whether something accepts connections on the port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what points servers and clients elsewhere."""
    unwanted = ("PREFECT_", "MLFLOW_", "AWS_", "POLY_EPO_", "PG", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"DO_NOT_TRACK": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | extra


class Server:
    """One process of a server. It ends with the process that started it (components/process_guard.py)."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._argv, self._log, self._answers = list(argv), log, answers
        self._environment = dict(environment or clean_environment())
        self._prepare = prepare
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and return when it answers; ``wait=False``: at once."""
        if self._prepare is not None:
            self._prepare()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *self._argv],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Return when the server answers; RuntimeError with its last lines when it ends or is too slow."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self._argv[:4]} {'ended' if ended else 'does not answer'}\n{said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the server and everything it started."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order, or after ten seconds at once."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has gone by itself
            os.killpg(self._process.pid, number)
        self._process.wait()
        self._process = None
